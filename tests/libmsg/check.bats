load ../lib/common

C=$TESTBIN/libmsg/check
one() { printf '%s' "$1" | "$C" one "$2"; }

@test "check: every value rule takes what keeps it and refuses what breaks it, naming the field" {
	[ "$("$C" all)" = "$(grep -c '^RULE' "$ROOT/src/libmsg/rules.def") rules" ]
}

@test "check: a mistake deep inside is named by its whole path" {
	t='{"commit":{"hash":"h","message":"m","author":"a","branch":"b","createdAt":"1"},"timestamp":"1"}'
	d='{"deployment":{"id":"d","applicationId":"a","applicationName":"n","pipedId":"p","projectId":"q","gitPath":{"repo":{"id":"r"},"path":"ab"},"trigger":'$t',"stages":[STAGES]}}'
	type=grpc.service.pipedservice.CreateDeploymentRequest
	[ "$(one "${d/STAGES/}" "$type")" = good ]
	s='{"id":"s","name":"WAIT","createdAt":"1","updatedAt":"1"}'
	[ "$(one "${d/STAGES/$s}" "$type")" = good ]
	[ "$(one "${d/STAGES/$s,${s/\"s\"/\"\"}}" "$type")" = "deployment.stages[1].id: must not be empty" ]
	d=${d/STAGES/}
	[ "$(one "${d/\"timestamp\":\"1\"/\"timestamp\":\"0\"}" "$type")" = "deployment.trigger.timestamp: must be greater than 0, is 0" ]
	[ "$(one '{}' "$type")" = "deployment: is missing" ]
}

@test "check: a map's mistake names the key" {
	e='{"name":"n","data":"d","contexts":{"a":"b","CONTEXT":"x"}}'
	type=grpc.service.apiservice.RegisterEventRequest
	[ "$(one "${e/CONTEXT/b-c}" "$type")" = good ]
	[ "$(one "${e/CONTEXT/b--c}" "$type")" = 'contexts["b--c"]: "b--c" does not match ^[a-zA-Z0-9]+(-[a-zA-Z0-9]+)*$' ]
	[ "$(one "${e/\"x\"/\"\"}" "$type")" = 'contexts["CONTEXT"]: must not be empty' ]
}
