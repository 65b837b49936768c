# kind ControlPlane: what it is told, what each program sees, what is refused.
setup() {
	load ../lib/common
	conf=$TESTBIN/libconf/conf
	cd "$BATS_TEST_TMPDIR"
	H='$2a$10$ye96mUqUqTnjUqgwQJbJzel/LJibRhUnmzyypACkvrTSnQpVFZ7qK'
}

# spec TEXT: a file with that as its spec
spec() { printf 'apiVersion: pipecd.dev/v1beta1\nkind: ControlPlane\nspec: %s\n' "$1" >t.yaml; }
ok() { spec "$1"; run $conf control "${2:-all}" t.yaml; [ "$status" -eq 0 ] || { echo "$1: $output"; return 1; }; }
no() {
	spec "$1"; run $conf control all t.yaml
	[ "$status" -eq 1 ] && [[ "$output" == *"$2"* ]] || { echo "$1: $output, not $2"; return 1; }
}

@test "control: an empty file is a working configuration" {
	printf 'apiVersion: pipecd.dev/v1beta1\nkind: ControlPlane\n' >t.yaml
	run $conf control all t.yaml
	[ "$status" -eq 0 ]
	for want in 'address: "127.0.0.1:8080"' 'adminAddress: "127.0.0.1:9085"' 'stateDir: /var/lib/pipecd' 'type: LMDB' 'type: DIR' 'apiProcesses: 1'; do
		[[ "$output" == *"$want"* ]]
	done
	printf 'apiVersion: pipecd.dev/v1beta1\nkind: Piped\n' >t.yaml
	run $conf control all t.yaml
	[ "$status" -eq 1 ]
	[[ "$output" == *"t.yaml:2:7: kind: Piped is not ControlPlane"* ]]
}

@test "control: what is printed reads as the same" {
	ok "{address: 'h:1', filestore: {type: S3, config: {bucket: b, region: r}}, webhooks: [{type: GITEA, secretFile: /f, project: p}], retention: {logs: 3d, deploymentsPerApplication: 7}, tls: {certFile: /c, keyFile: /k}}"
	echo "$output" >again.yaml
	$conf control all again.yaml | diff again.yaml -
	[[ "$output" == *"logs: 72h"* ]]
	[[ "$output" == *"deploymentsPerApplication: 7"* ]]
}

@test "control: PipeCD's address, a URL, is what people are told" {
	ok '{address: "https://cd.example.com"}'
	[[ "$output" == *'address: "127.0.0.1:8080"'* ]]
	[[ "$output" == *'webAddress: "https://cd.example.com"'* ]]
	ok '{address: "0.0.0.0:443", tls: {certFile: /c, keyFile: /k}}'
	[[ "$output" == *'webAddress: "https://0.0.0.0:443"'* ]]
	no '{address: nowhere}' 't.yaml:3:17: address: "nowhere" is not host:port'
	no '{adminAddress: "h:65536"}' 'adminAddress: "h:65536" is not host:port'
	no '{webAddress: "ftp://x"}' 'is not a URL'
}

@test "control: an address is host and port" {
	[ "$($conf address '[::1]:80')" = "::1 80" ]
	[ "$($conf address ':80')" = " 80" ]
	[ "$($conf address 'a.example:0')" = "a.example 0" ]
	for bad in '' a: :a ::1:80 '[::1]' '[::1:80' 'a b:1' a:1x a:65536; do
		run $conf address "$bad"; [ "$status" -eq 1 ] || { echo "$bad"; false; }
	done
}

@test "control: each program sees its keys, and secrets are for those who use them" {
	s="{address: 'h:1', stateKey: hush, filestore: {type: MINIO, config: {endpoint: 'http://m', bucket: b, accessKeyFile: /a, secretKeyFile: /s}}, webhooks: [{type: GITHUB, secretData: aGFsbG8=}], projects: [{id: p, staticAdmin: {username: u, passwordHash: '$H'}}]}"
	ok "$s" all
	[[ "$output" != *aGFsbG8* && "$output" != *"$H"* && "$output" != *hush* ]]
	ok "$s" api
	[[ "$output" == *"slice: api"* && "$output" == *'secretData: "aGFsbG8="'* && "$output" == *'address: "h:1"'* ]]
	[[ "$output" != *"$H"* && "$output" != *hush* && "$output" != *secretKeyFile* ]]
	ok "$s" store
	[[ "$output" == *"secretKeyFile: /s"* && "$output" == *"stateDir"* ]]
	[[ "$output" != *aGFsbG8* && "$output" != *"$H"* && "$output" != *"h:1"* ]]
	ok "$s" ops
	[[ "$output" == *"$H"* && "$output" == *"retention:"* ]]
	[[ "$output" != *aGFsbG8* && "$output" != *secretKeyFile* ]]
}

@test "control: what this build cannot do is refused by name, and only warned of when a file is checked" {
	later=(
		'{datastore: {type: MYSQL, config: {url: u}}}' 'datastore.type: MYSQL: this build keeps records in stateDir only'
		'{datastore: {type: FIRESTORE}}' 'datastore.type: FIRESTORE: this build keeps'
		'{datastore: {type: FOO}}' 'there is LMDB'
		'{filestore: {type: GCS, config: {bucket: b}}}' 'filestore.type: GCS: this build cannot use it yet'
		'{filestore: {type: FOO}}' 'there is DIR, S3 and MINIO'
		'{filestore: {type: S3, config: {region: r}}}' 'filestore.config.bucket: missing, for type S3'
		'{filestore: {type: MINIO, config: {bucket: b}}}' 'filestore.config.endpoint: missing, for type MINIO'
		'{filestore: {type: S3, config: {bucket: b, region: r, roleARN: x}}}' 'filestore.config.roleARN: this build takes no roles yet'
		'{sharedSSOConfigs: [{name: a, provider: GITHUB}]}' 'sharedSSOConfigs[0]: this build cannot sign people in'
		'{projects: [{id: p, sharedSsoName: a}]}' 'projects[0].sharedSsoName: this build cannot'
		'{projects: [{id: p, staticAdmin: {username: u, passwordHash: h}}]}' 'projects[0].staticAdmin.passwordHash: not a bcrypt hash'
		'{projects: [{id: p, staticAdmin: {passwordHash: h}}]}' 'projects[0].staticAdmin.username: missing'
		'{projects: [{id: "a,b"}]}' "cannot be a project's id"
	)
	for ((i = 0; i < ${#later[@]}; i += 2)); do
		no "${later[i]}" "${later[i + 1]}"
		run $conf check t.yaml
		[ "$status" -eq 0 ] && [[ "$output" == *"warning: "* ]] || { echo "$output"; false; }
	done
}

@test "control: a mistake has its place" {
	no '{stateDir: here}' 't.yaml:3:18: stateDir: "here" is not an absolute path'
	no '{projects: [{id: p}, {id: p}]}' 't.yaml:3:33: projects[1].id: p is there twice'
	no '{insightCollector: {deployment: {schedule: hourly}}}' 'insightCollector.deployment.schedule: "hourly" is not a cron line'
	no '{webhooks: [{type: GITHUB}]}' 'secretFile or secretData: missing'
	no '{webhooks: [{type: SVN, secretFile: /f}]}' '"SVN" is none of GITHUB,GITLAB,GITEA,BITBUCKET'
	no '{webhooks: [{type: GITLAB, secretData: "%"}]}' 'webhooks[0].secretData: not base64'
	no '{tls: {certFile: /c}}' 'tls.keyFile: missing'
	no '{apiProcesses: 0}' 'apiProcesses: 0 is out of range, 1 to 64'
	no '{adress: x}' 'adress: no such key; did you mean address?'
	ok '{filestore: {type: DIR, config: {bucket: b}}}'
	[[ "$output" == *"warning: filestore.config.bucket: type DIR has no such key"* ]]
}

@test "control: cron lines name minutes in UTC" {
	cron() { [ "$($conf cron "$1" "$2")" = "$3" ] || { echo "$1: $($conf cron "$1" "$2")"; return 1; }; }
	cron '* * * * *' 0 1970-01-01T00:01:00Z
	cron '* * * * *' 59 1970-01-01T00:01:00Z
	cron '30 * * * *' 1800 1970-01-01T01:30:00Z
	cron '*/15 3 * * *' 0 1970-01-01T03:00:00Z
	cron '0 9 * * mon-fri' 172800 1970-01-05T09:00:00Z
	cron '0 0 29 2 *' 0 1972-02-29T00:00:00Z
	cron '0 0 13 * fri' 0 1970-01-02T00:00:00Z
	cron '5,10 0 1 jan,JUL *' 600 1970-07-01T00:05:00Z
	cron @daily 0 1970-01-02T00:00:00Z
	for bad in '' '* * * *' '* * * * * *' '60 * * * *' '* 24 * * *' '* * 0 * *' '* * * 13 *' '5-3 * * * *' '*/0 * * * *' 'a * * * *' '1, * * * *' '0 0 31 2 *'; do
		run $conf cron "$bad" 0; [ "$status" -eq 1 ] || { echo "$bad"; false; }
	done
}
