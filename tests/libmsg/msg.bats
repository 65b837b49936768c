load ../lib/common

M=$TESTBIN/libmsg/msg
msg() { printf '%s' "$1" | "$M" convert "${@:2}"; }
refused() { run -100 "$@"; }

@test "msg: every message of every .proto comes back the same, packed and in both JSONs" {
	"$M" all 20
	have=$("$M" list | grep -cv 'Entry$')
	want=$(find "$ROOT/src/libmsg" -name '*.proto' -exec cat {} + | grep -cE '^\s*message ')
	[ "$have" -eq "$want" ]
}

@test "msg: the two mappings differ in names, 64-bit integers and enums" {
	f='{"id":"d","kind":"LAMBDA","git_path":{"repo":{"id":"r"},"config_filename":"x"},"status":"ROLLING_BACK","deployment_chain_block_index":3,"created_at":9007199254740993}'
	p='{"id":"d","kind":"LAMBDA","gitPath":{"repo":{"id":"r"},"configFilename":"x"},"status":"DEPLOYMENT_ROLLING_BACK","deploymentChainBlockIndex":3,"createdAt":"9007199254740993"}'
	[ "$(msg "$f" model.Deployment frame api)" = "$p" ]
	[ "$(msg "$p" model.Deployment api frame)" = "$f" ]
	# The API's reader takes the .proto's spelling, numbers and null, too.
	[ "$(msg "$f" model.Deployment api api)" = "$p" ]
	[ "$(msg '{"id":null,"labels":null,"status":3}' model.Deployment api api)" = '{"status":"DEPLOYMENT_ROLLING_BACK"}' ]
}

@test "msg: int64 keeps its limits in both mappings" {
	for v in 9223372036854775807 -9223372036854775808; do
		[ "$(msg "{\"created_at\":$v}" model.Commit frame frame)" = "{\"created_at\":$v}" ]
		[ "$(msg "{\"createdAt\":\"$v\"}" model.Commit api api)" = "{\"createdAt\":\"$v\"}" ]
	done
	refused msg '{"created_at":9223372036854775808}' model.Commit frame frame
	[[ "$output" == *"field created_at: byte 15: out of range"* ]]
	refused msg '{"createdAt":"9223372036854775808"}' model.Commit api api
	refused msg '{"createdAt":"1x"}' model.Commit api api
	refused msg '{"created_at":"1"}' model.Commit frame frame
	[[ "$output" == *"field created_at: byte 15: wants a number"* ]]
	refused msg '{"index":2147483648}' model.PipelineStage frame frame
	refused msg '{"deployment_chain_block_index":-1}' model.Deployment frame frame
	refused msg '{"deployment_chain_block_index":1.5}' model.Deployment frame frame
}

@test "msg: enums are written short in frames and read in any form" {
	[ "$("$M" enum model.StageStatus | head -n 1)" = "0 NOT_STARTED_YET STAGE_NOT_STARTED_YET" ]
	[ "$("$M" enum model.RollbackKind | tail -n 1)" = "15 CUSTOM_SYNC Rollback_CUSTOM_SYNC" ]
	[ "$("$M" enum model.SyncStrategy | tail -n 1)" = "2 PIPELINE PIPELINE" ]
	[ "$("$M" enum model.ChainStatus | head -n 1)" = "0 PENDING DEPLOYMENT_CHAIN_PENDING" ]
	for v in '"SUCCESS"' '"DEPLOYMENT_SUCCESS"' 4; do
		[ "$(msg "{\"status\":$v}" model.Deployment frame frame)" = '{"status":"SUCCESS"}' ]
	done
	[ "$(msg '{"status":77}' model.Deployment frame api)" = '{"status":77}' ]
	# A status is what people select by: frames name it also when it is the first.
	[ "$(msg '{}' model.Deployment frame frame)" = '{"status":"PENDING"}' ]
	[ "$(msg '{}' model.Deployment frame api)" = '{}' ]
	refused msg '{"stages":[{},{"status":"DONE"}]}' model.Deployment frame frame
	[[ "$output" == *'field stages[1].status: byte '*'"DONE" is no model.StageStatus'* ]]
}

@test "msg: maps are objects; a key that comes twice is refused" {
	[ "$(msg '{"labels":{"a":"1","":"2"}}' model.ApplicationInfo frame frame)" = '{"labels":{"a":"1","":"2"}}' ]
	refused msg '{"labels":{"a":"1","b":"2","a":"3"}}' model.Deployment frame frame
	[[ "$output" == *"field labels: "*"the key a is there twice"* ]]
	refused msg '{"labels":{"a":null}}' model.Deployment frame frame
	refused msg '{"id":"a","id":"b"}' model.Deployment frame frame
	[[ "$output" == *"field id: "*"is there twice"* ]]
	refused msg '{"gitPath":{},"git_path":{}}' model.Deployment api api
	# Packed bytes may repeat a key: the last one wins.
	printf '\122\006\012\001a\022\0011\122\006\012\001a\022\0012' >"$BATS_TEST_TMPDIR/p"
	[ "$("$M" convert model.Deployment pack api <"$BATS_TEST_TMPDIR/p")" = '{"labels":{"a":"2"}}' ]
	# And leave an entry's value out.
	printf '\142\003\012\001a' >"$BATS_TEST_TMPDIR/p"
	[ "$("$M" convert model.Deployment pack api <"$BATS_TEST_TMPDIR/p")" = '{"deployTargetsByPlugin":{"a":{}}}' ]
}

@test "msg: bytes are base64 in either alphabet, padded or not" {
	for v in +/8= +/8 -_8 ; do
		[ "$(msg "{\"metrics\":\"$v\"}" model.PipedStat api api)" = '{"metrics":"+/8="}' ]
	done
	for v in 'a b' a 'ab=c' '====' 'aa==='; do
		refused msg "{\"metrics\":\"$v\"}" model.PipedStat api api
		[[ "$output" == *"wants base64"* ]]
	done
}

@test "msg: numbers that JSON has not are strings" {
	for v in '"NaN"' '"Infinity"' '"-Infinity"' 0.1 1.67772e+07 1.4013e-45 3.4028235e+38; do
		[ "$(msg "{\"value\":$v}" model.InsightDataPoint frame api)" = "{\"value\":$v}" ]
	done
	[ "$(msg '{"value":"0.5"}' model.InsightDataPoint api api)" = '{"value":0.5}' ]
	refused msg '{"value":1e39}' model.InsightDataPoint frame frame
	refused msg '{"value":"0.5"}' model.InsightDataPoint frame frame
	refused msg '{"value":"nan"}' model.InsightDataPoint frame frame
}

@test "msg: a BoolValue is a bare bool that may be absent" {
	t=grpc.service.webservice.ListPipedsRequest
	[ "$(msg '{"options":{"enabled":false}}' $t api api)" = '{"options":{"enabled":false}}' ]
	[ "$(msg '{"options":{"enabled":null}}' $t api api)" = '{"options":{}}' ]
}

@test "msg: strings are UTF-8 without NUL, packed or not" {
	refused msg '{"id":"a\u0000b"}' model.Deployment frame frame
	[[ "$output" == *"field id: byte 7: a NUL in a string"* ]]
	refused msg "$(printf '{"id":"\377"}')" model.Deployment frame frame
	[[ "$output" == *"field id: byte 8: not UTF-8"* ]]
	printf '\012\003a\000b' >"$BATS_TEST_TMPDIR/p"
	refused "$M" convert model.Deployment pack frame <"$BATS_TEST_TMPDIR/p"
	[[ "$output" == *"field id: a NUL in a string"* ]]
	printf '\102\003\012\001\377' >"$BATS_TEST_TMPDIR/p"
	refused "$M" convert model.Deployment pack frame <"$BATS_TEST_TMPDIR/p"
	[[ "$output" == *"git_path: "* ]]
	for bytes in '\012' '\012\377\377\377\377\377\377\377\377\377\377' '\017' '\012\005a' '\000'; do
		printf "$bytes" >"$BATS_TEST_TMPDIR/p"
		refused "$M" convert model.Deployment pack frame <"$BATS_TEST_TMPDIR/p"
	done
}

@test "msg: what is decoded stays within its budget" {
	# 4 MiB of empty map entries would be 96 MiB and more.
	[ "$("$M" flood model.Event 5 4194304 67108864)" = "model.Event: it takes more memory than it may" ]
	[ "$("$M" flood model.Event 5 4096 67108864)" = taken ]
	many=$(printf '"%s",' $(seq 2000)) many="{\"deploy_targets\":[${many%,}]}"
	msg "$many" model.DeployTargets frame pack >"$BATS_TEST_TMPDIR/p"
	msg "$many" model.DeployTargets frame frame 100000 >/dev/null
	refused msg "$many" model.DeployTargets frame frame 10000
	[[ "$output" == *"field deploy_targets"*"it takes more memory than it may"* ]]
	refused "$M" convert model.DeployTargets pack frame 10000 <"$BATS_TEST_TMPDIR/p"
}
