load ../lib/common

H=$TESTBIN/libhook/hook
said() { printf '%s' "$1" | "$H" read "${@:2}"; }
sign() { printf '%s' "$1" | openssl dgst -sha256 -hmac "$2" -r | cut -d' ' -f1; }

@test "hook: a signature is HMAC-SHA256 of the body, and a wrong one or none is refused" {
	body='{"a":1}'
	sig=$(sign "$body" s3cret)
	ok() { [ "$(printf '%s' "$body" | "$H" verify "$1" "$2" "$3")" = "$4" ]; }
	for t in github bitbucket; do
		ok $t s3cret "sha256=$sig" yes
		ok $t s3cret "$sig" no
		ok $t other "sha256=$sig" no
		ok $t s3cret "sha256=${sig%?}" no
		ok $t s3cret "sha256=" no
		ok $t s3cret "" no
	done
	ok gitea s3cret "$sig" yes
	ok gitea other "$sig" no
	# GitLab sends the secret itself.
	ok gitlab s3cret s3cret yes
	ok gitlab s3cret s3cre no
	ok gitlab s3cret "s3crets" no
}

@test "hook: GitHub's push says its remotes, branch and commit, as JSON or as a form" {
	j='{"ref":"refs/heads/main","after":"c0ffee","repository":{"clone_url":"https://github.com/o/r.git","ssh_url":"git@github.com:o/r.git","html_url":"https://github.com/o/r"}}'
	want=$'branch=main commit=c0ffee\nhttps://github.com/o/r.git\ngit@github.com:o/r.git\nhttps://github.com/o/r'
	[ "$(said "$j" github push application/json)" = "$want" ]
	[ "$(said "$j" gitea push)" = "$want" ]
	form=payload=$(printf '%s' "$j" | jq -sRr @uri)
	[ "$(said "x=1&$form&y=2" github push application/x-www-form-urlencoded)" = "$want" ]
	[ "$(said "$j" github ping)" = "none of ours" ]
	# A tag has no branch.
	[[ "$(said "${j/heads/tags}" github push)" == "branch= commit=c0ffee"* ]]
}

@test "hook: GitLab's push and system hooks say the same" {
	j='{"object_kind":"push","event_name":"push","ref":"refs/heads/main","after":"c0ffee","project":{"git_http_url":"https://gl/o/r.git","git_ssh_url":"git@gl:o/r.git"}}'
	want=$'branch=main commit=c0ffee\nhttps://gl/o/r.git\ngit@gl:o/r.git'
	[ "$(said "$j" gitlab "Push Hook")" = "$want" ]
	[ "$(said "$j" gitlab "System Hook")" = "$want" ]
	[ "$(said "${j/\"event_name\":\"push\"/\"event_name\":\"user_create\"}" gitlab "System Hook")" = "none of ours" ]
	[ "$(said "$j" gitlab "Issue Hook")" = "none of ours" ]
}

@test "hook: Bitbucket's cloud and its server say the same, each in its way" {
	j='{"push":{"changes":[{"new":{"type":"branch","name":"main","target":{"hash":"c0ffee"}}}]},"repository":{"links":{"html":{"href":"https://bitbucket.org/o/r"}}}}'
	[ "$(said "$j" bitbucket repo:push)" = $'branch=main commit=c0ffee\nhttps://bitbucket.org/o/r' ]
	j='{"changes":[{"ref":{"displayId":"main","type":"BRANCH"},"toHash":"c0ffee"}],"repository":{"links":{"clone":[{"href":"ssh://git@bb:7999/o/r.git"},{"href":"https://bb/scm/o/r.git"}]}}}'
	[ "$(said "$j" bitbucket repo:refs_changed)" = $'branch=main commit=c0ffee\nssh://git@bb:7999/o/r.git\nhttps://bb/scm/o/r.git' ]
}

@test "hook: what is no JSON, or names no repository, is refused with the reason" {
	refused() { run -100 bash -c 'printf %s "$1" | "$2" read github push 2>&1' - "$1" "$H"; }
	refused 'nonsense'
	[[ "$output" == *"the body is no JSON"* ]]
	refused '{}'
	[[ "$output" == *"does not say of which repository"* ]]
	refused '[]'
	refused '{"repository":"x","ref":7}'
	refused '{"repository":{"clone_url":7},"ref":{}}'
}
