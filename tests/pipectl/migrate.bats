#!/usr/bin/env bats
# pipectl migrate application-config: v0 files as kind Application.
load ../lib/common

setup() {
	cd "$BATS_TEST_TMPDIR"
}
golden=$BATS_TEST_DIRNAME/../libconf/golden

@test "migrate: every v0 kind becomes an Application that checks, and the old file stays beside it" {
	for kind in kubernetes ecs lambda cloudrun; do
		mkdir -p apps/$kind
		cp "$golden/app-$kind.in" apps/$kind/app.pipecd.yaml
	done
	run -0 pipectl migrate application-config --dirs apps
	[ "${#lines[@]}" -eq 4 ]
	for kind in kubernetes ecs lambda cloudrun; do
		run -0 pipecd-plan -n apps/$kind/app.pipecd.yaml
		grep -q '^kind: Application$' apps/$kind/app.pipecd.yaml
		grep -q "^    $kind:" apps/$kind/app.pipecd.yaml
		cmp apps/$kind/app.pipecd.yaml.old "$golden/app-$kind.in"
	done
	grep -q 'k8sNamespace: default' apps/kubernetes/app.pipecd.yaml
}

@test "migrate: Terraform's input loses its wrapper, and what the plugin reads is the same as before" {
	cat >app.pipecd.yaml <<-E
	kind: TerraformApp
	apiVersion: pipecd.dev/v1beta1
	spec:
	  name: infra
	  input:
	    workspace: prod
	    vars: [a=b]
	    autoRollback: true
	  pipeline:
	    stages:
	      - name: TERRAFORM_PLAN
	        with: {timeout: 10m, exitOnNoChanges: true, skipOn: {paths: ['*.md']}}
	      - name: TERRAFORM_APPLY
	E
	run -0 pipectl migrate application-config --config-files app.pipecd.yaml
	cat >want <<-E
	kind: Application
	apiVersion: pipecd.dev/v1beta1
	spec:
	  name: infra
	  pipeline:
	    stages:
	    - name: TERRAFORM_PLAN
	      timeout: "10m"
	      skipOn:
	        paths:
	        - "*.md"
	      with:
	        exitOnNoChanges: true
	    - name: TERRAFORM_APPLY
	  planner:
	    autoRollback: true
	  plugins:
	    terraform:
	      workspace: prod
	      vars:
	      - "a=b"
	E
	diff want app.pipecd.yaml
}

@test "migrate: what is no v0 application, or has mistakes, is said and stays as it is" {
	mkdir apps
	printf 'apiVersion: pipecd.dev/v1beta1\nkind: Application\nspec: {name: a}\n' >apps/a.pipecd.yaml
	printf 'apiVersion: pipecd.dev/v1beta1\nkind: ECSApp\nspec: {nmae: a}\n' >apps/b.pipecd.yaml
	run -1 pipectl migrate application-config --dirs apps
	[[ "$output" == *"kind Application is not a v0 application"* ]]
	[[ "$output" == *"b.pipecd.yaml:3:8: nmae: no such key"* ]]
	[ ! -e apps/a.pipecd.yaml.old ] && [ ! -e apps/b.pipecd.yaml.old ]
	run -100 pipectl migrate application-config --config-files apps/none.yaml
	run -100 pipectl migrate application-config
	[[ "$output" == *"--config-files or --dirs is needed"* ]]
}

@test "migrate: an old file that is kept already is not overwritten" {
	cp "$golden/app-ecs.in" app.pipecd.yaml
	echo mine >app.pipecd.yaml.old
	run -100 pipectl migrate application-config --config-files app.pipecd.yaml
	[[ "$output" == *"File exists"* ]]
	[ "$(cat app.pipecd.yaml.old)" = mine ]
	cmp app.pipecd.yaml "$golden/app-ecs.in"
}
