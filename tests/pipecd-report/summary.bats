# pipecd-report-summary: arithmetic over hand-made journals.
load ../lib/common

setup() {
	state=$BATS_TEST_TMPDIR/state
	mkdir -p "$state/journal"
	cat >"$BATS_TEST_TMPDIR/piped.yaml" <<-E
	apiVersion: pipecd.dev/v1beta1
	kind: Piped
	spec:
	  stateDir: $state
	  repositories: [{repoId: web, remote: file:///nowhere, branch: main}]
	E
}

journals() { python3 "$BATS_TEST_DIRNAME/mkjournal.py" "$state/journal"; }
summary() { pipecd-report-summary -f "$BATS_TEST_TMPDIR/piped.yaml" --since 2026-11-01 --until 2026-11-05 "$@"; }
is() { [ "$(jq -c "$1" <<<"$json")" = "$2" ] || { echo "$1 is $(jq -c "$1" <<<"$json"), not $2"; return 1; }; }

week_of_trouble() {
	journals <<-'E'
	d0 site SUCCESS 2026-10-30T10:00:00Z c0 2026-10-30T09:50:00Z
	d1 site SUCCESS 2026-11-02T10:00:00Z c1 2026-11-02T09:50:00Z
	d2 site FAILURE 2026-11-03T10:00:00Z c2 2026-11-03T09:00:00Z rolled
	d3 site FAILURE 2026-11-03T10:30:00Z c3 2026-11-03T10:20:00Z
	d4 site SUCCESS 2026-11-03T11:00:00Z c4 2026-11-03T10:40:00Z
	d5 site CANCELLED 2026-11-04T11:00:00Z c5 2026-11-04T10:40:00Z
	d6 site CANCELLED 2026-11-04T11:00:00Z c6 2026-11-04T10:40:00Z superseded by deployment d7 (commit c7)
	d7 site SUCCESS 2026-11-04T12:00:00Z c4 2026-11-03T10:40:00Z
	d9 api RUNNING 2026-11-04T12:00:00Z c4 2026-11-03T10:40:00Z
	e1 api FAILURE 2026-11-04T12:30:00Z c8 2026-11-03T10:40:00Z
	E
}

@test "summary: counts, failure rate, lead time and time to restore add up" {
	week_of_trouble
	json=$(summary --format json)
	is .schema 1
	is .since '"2026-11-01T00:00:00Z"'
	is .until '"2026-11-06T00:00:00Z"'
	is .journals '{"read":10,"damaged":0,"unfinished":1}'
	site='.applications[]|select(.name=="site")|'
	is "$site[.deployments,.success,.failure,.cancelled,.superseded,.rolled_back]" '[6,3,2,1,1,1]'
	is "$site.change_failure_rate" 0.3333
	# Two failures before the restore are one outage, from the first's end.
	is "$site.restore_seconds" '{"count":1,"median":3600,"p90":3600}'
	# c4 was delivered twice, and counts once.
	is "$site.lead_time_seconds" '{"count":2,"median":900,"p90":1200}'
	is '.total|[.deployments,.failed_changes,.not_restored]' '[7,3,1]'
	is '.applications[]|select(.name=="api")|[.change_failure_rate,.not_restored,.lead_time_seconds.median]' '[1,1,null]'
}

@test "summary: every day of the range is there, with zeros where nothing happened" {
	week_of_trouble
	json=$(summary --format json)
	is '[.total.buckets[].start]' '["2026-11-01","2026-11-02","2026-11-03","2026-11-04","2026-11-05"]'
	is '[.total.buckets[].deployments]' '[0,1,3,3,0]'
	is '.total.buckets[0]|[.change_failure_rate,.lead_time_seconds.median]' '[null,null]'
	is '.total.buckets[2].restore_seconds.median' 3600
}

@test "summary: weeks begin on Monday, and the first is whole" {
	week_of_trouble
	json=$(summary --format json --by week --since 2026-11-04)
	is '[.total.buckets[].start]' '["2026-11-02"]'
	is .total.deployments 7
	json=$(summary --format json --by week --since 2026-10-25 --until 2026-11-09T00:00:00Z)
	is '[.total.buckets[].start]' '["2026-10-19","2026-10-26","2026-11-02"]'
	is '[.total.buckets[].deployments]' '[0,1,7]'
}

@test "summary: a failure before the range is restored in it; a commit delivered before it is not delivered again" {
	journals <<-'E'
	d1 site SUCCESS 2026-10-20T10:00:00Z c1 2026-10-20T09:00:00Z
	d2 site FAILURE 2026-10-31T23:00:00Z c2 2026-10-31T22:00:00Z
	d3 site SUCCESS 2026-11-01T01:00:00Z c1 2026-10-20T09:00:00Z
	E
	json=$(summary --format json)
	is '.total|[.deployments,.change_failure_rate]' '[1,0]'
	is .total.restore_seconds.median 7200
	is .total.lead_time_seconds.count 0
}

@test "summary: a cancelled deployment that was rolled back failed; a clock that went back makes no negative time" {
	journals <<-'E'
	d1 site CANCELLED 2026-11-02T10:00:00Z c1 2026-11-02T09:00:00Z rolled
	d2 site SUCCESS 2026-11-02T11:00:00Z c2 2026-11-02T12:00:00Z
	E
	json=$(summary --format json)
	is '.total|[.cancelled,.rolled_back,.failed_changes,.change_failure_rate]' '[1,1,1,0.5]'
	is .total.restore_seconds.median 3600
	is .total.lead_time_seconds.median 0
}

@test "summary: the median of an even count is the mean of the middle two, p90 the nearest rank" {
	for i in 1 2 3 4 5 6 7 8 9 10; do
		echo "d$i site SUCCESS 2026-11-02T12:00:00Z c$i $(date -u -d "2026-11-02T12:00:00Z -${i}0 seconds" +%FT%TZ)"
	done | journals
	json=$(summary --format json)
	is .total.lead_time_seconds '{"count":10,"median":55,"p90":90}'
}

@test "summary: no journals, or no state directory yet, is an empty report" {
	for f in text json csv html; do run -0 --separate-stderr summary --format $f; [ -z "$stderr" ]; done
	json=$(summary --format json)
	is '[.total.deployments,(.applications|length)]' '[0,0]'
	rm -r "$state"
	run -0 --separate-stderr summary
	[ -z "$stderr" ]
}

@test "summary: a damaged journal is named, counted and left out; a torn last line is not damage" {
	week_of_trouble
	sed -i '2s/PLANNED/PLANNER/' "$state/journal/d1.ndjson"
	printf '{"v":1,"kind":"stage_lo' >>"$state/journal/d4.ndjson"
	run -0 --separate-stderr summary --format json
	json=$output
	[[ "$stderr" == *"left out: "*d1.ndjson* ]]
	[ "$(wc -l <<<"$stderr")" -eq 1 ]
	is .journals '{"read":10,"damaged":1,"unfinished":1}'
	is .total.deployments 6
	: >"$state/journal/d1.ndjson"
	run -0 --separate-stderr summary --format json
	[ -z "$stderr" ]
}

@test "summary: one application by name or id, and given journals instead of the state directory" {
	week_of_trouble
	json=$(summary --format json --app site)
	is '[.applications[].name]' '["site"]'
	json=$(summary --format json --app app-api --app site)
	is '[.applications[].name]' '["api","site"]'
	json=$(pipecd-report-summary --since 2026-11-01 --until 2026-11-05 --format json "$state"/journal/d[12].ndjson)
	is .total.deployments 2
	run -0 --separate-stderr pipecd-report-summary --format json "$state/none"
	[[ "$stderr" == *"left out: "*none* ]]
	json=$output
	is .journals.damaged 1
}

@test "summary: text has aligned columns" {
	week_of_trouble
	summary >"$BATS_TEST_TMPDIR/out"
	grep -q '^APPLICATION  DEPLOYMENTS  PER DAY ' "$BATS_TEST_TMPDIR/out"
	grep -Eq '^TOTAL +7 +1\.40 +3 +3 +1 +1 +42\.9% ' "$BATS_TEST_TMPDIR/out"
	[ "$(sed -n '/^DAY/,$p' "$BATS_TEST_TMPDIR/out" | awk '{print length}' | sort -u | wc -l)" -eq 1 ]
}

@test "summary: csv is RFC 4180 and starts no formula" {
	journals <<-'E'
	d1 =cmd,"x" SUCCESS 2026-11-02T10:00:00Z c1 2026-11-02T09:00:00Z
	E
	summary --format csv >"$BATS_TEST_TMPDIR/out"
	run ! grep -qv $'\r$' "$BATS_TEST_TMPDIR/out"
	python3 - "$BATS_TEST_TMPDIR/out" <<-'E'
	import csv, sys
	rows = list(csv.DictReader(open(sys.argv[1], newline="")))
	assert len(rows) == 12, len(rows)
	assert {r["application"] for r in rows} == {"", "'=cmd,\"x\""}, rows
	assert rows[0]["deployments"] == "1" and rows[1]["lead_median_s"] == ""
	E
}

@test "summary: html is well-formed, needs nothing else, and hostile names are text in it" {
	journals <<-'E'
	d1 <script>alert(1)</script>&"'\x1b]0;x\x07 SUCCESS 2026-11-02T10:00:00Z c1 2026-11-02T09:00:00Z
	d2 caf\u00e9 FAILURE 2026-11-02T10:00:00Z c1 2026-11-02T09:00:00Z
	E
	summary --format html >"$BATS_TEST_TMPDIR/out.html"
	python3 - "$BATS_TEST_TMPDIR/out.html" <<-'E'
	import base64, hashlib, re, sys, xml.dom.minidom
	s = open(sys.argv[1], encoding="utf-8").read()
	d = xml.dom.minidom.parseString(s.replace("<!DOCTYPE html>", ""))
	tags = {e.tagName for e in d.getElementsByTagName("*")}
	assert not tags & {"script", "link", "img", "iframe", "object", "a", "form"}, tags
	for e in d.getElementsByTagName("*"):
	    for k in e.attributes.keys():
	        assert not k.startswith("on") and k not in ("style", "src", "href"), k
	assert "url(" not in s and "http://" not in s and "https://" not in s
	style = d.getElementsByTagName("style")[0].firstChild.data
	want = "style-src 'sha256-" + base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
	assert want in s
	assert "&lt;script&gt;alert(1)&lt;/script&gt;&amp;&quot;&#39;\\x1b]0;x\\x07" in s
	assert len(d.getElementsByTagName("svg")) == 4 + 2
	E
}

@test "summary: what it cannot make sense of is refused, and how it would be right is said" {
	for bad in '--since yesterday' '--until 2026-02-31' '--by month' '--format xml' '--since 2026-12-01' '--since 2001-01-01'; do
		# shellcheck disable=SC2086
		run -100 --separate-stderr summary $bad
		[[ "$stderr" == *"${bad%% *}"* ]]
		[ -z "$output" ]
	done
	run -100 pipecd-report-summary
	run -100 --separate-stderr pipecd-report-summary -f "$BATS_TEST_TMPDIR/none.yaml"
	[[ "$stderr" == *none.yaml* ]]
}

@test "summary: spans count back from the end" {
	week_of_trouble
	json=$(summary --format json --since 2d --until 2026-11-04)
	is '[.total.buckets[].start]' '["2026-11-03","2026-11-04"]'
	json=$(summary --format json --since 1w --until 2026-11-05T12:00:00Z)
	is '.total.buckets|length' 8
}
