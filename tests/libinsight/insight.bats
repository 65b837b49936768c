# How questions about delivery are answered from what was collected.
setup() {
	load ../lib/common
	insight=$TESTBIN/libinsight/insight
	FROM=$(date -u -d 2026-11-20T10:00:00Z +%s) TO=$(date -u -d 2026-11-22T01:00:00Z +%s)
}
at() { date -u -d "$1" +%s; }
ask() { printf '{"metricsKind":"%s","rangeFrom":"%s","rangeTo":"%s"%s}' "$1" "$FROM" "$TO" "${2:-}"; }
values() { jq -c '[.matrix[0].data_points[]|.value//0]'; }
chunk() {
	printf '{"updatedAt":"7","records":['
	local sep=
	for r; do printf '%s{"id":"d","applicationId":"%s","status":"%s","completedAt":"%s","leadS":"%s","restoreS":"%s","labels":{"env":"%s"}}' "$sep" $r; sep=,; done
	printf ']}'
}

@test "insight: each day of the range has a value, counted where deployments ended" {
	c=$(chunk "a DEPLOYMENT_SUCCESS $(at 2026-11-20T00:00:00Z) 10 0 dev" "a DEPLOYMENT_FAILURE $(at 2026-11-20T23:59:59Z) 0 0 dev" \
		"b DEPLOYMENT_SUCCESS $(at 2026-11-22T00:00:00Z) 30 5 prod" "b DEPLOYMENT_CANCELLED $(at 2026-11-22T23:00:00Z) 0 0 prod" \
		"b DEPLOYMENT_SUCCESS $(at 2026-11-22T23:00:00Z) 20 0 prod" "b DEPLOYMENT_SUCCESS $(at 2026-11-19T23:59:59Z) 1 1 prod")
	[ "$($insight "$(ask DEPLOYMENT_FREQUENCY)" "$c" | values)" = "[2,0,3]" ]
	[ "$($insight "$(ask CHANGE_FAILURE_RATE)" "$c" | values)" = "[0.5,0,0]" ]
	[ "$($insight "$(ask LEAD_TIME)" "$c" | values)" = "[10,0,25]" ]
	[ "$($insight "$(ask MTTR)" "$c" | values)" = "[0,0,5]" ]
	[ "$($insight "$(ask DEPLOYMENT_FREQUENCY ',"applicationId":"b"')" "$c" | values)" = "[0,0,3]" ]
	[ "$($insight "$(ask DEPLOYMENT_FREQUENCY ',"labels":{"env":"dev"}')" "$c" | values)" = "[2,0,0]" ]
	[ "$($insight "$(ask DEPLOYMENT_FREQUENCY ',"labels":{"env":"dev","x":"y"}')" "$c" | values)" = "[0,0,0]" ]
	run $insight "$(ask DEPLOYMENT_FREQUENCY)" "$c"
	[ "$(jq -c '[.updated_at,.type,.matrix[0].data_points[0].timestamp]' <<<"$output")" = "[7,null,$(at 2026-11-20T00:00:00Z)]" ]
}

@test "insight: months are months" {
	FROM=$(at 2025-12-31T23:00:00Z) TO=$(at 2026-03-01T00:00:00Z)
	c=$(chunk "a DEPLOYMENT_SUCCESS $(at 2026-02-28T23:59:59Z) 10 0 x" "a DEPLOYMENT_FAILURE $(at 2025-12-01T00:00:00Z) 0 0 x" "a DEPLOYMENT_FAILURE $(at 2026-03-31T23:59:59Z) 0 0 x")
	q=$(ask DEPLOYMENT_FREQUENCY ',"resolution":"MONTHLY"')
	[ "$($insight "$q" "$c" | values)" = "[1,0,1,1]" ]
	run $insight "$q" insights/p/completed-deployments/2025-1{1,2}/chunk_0 insights/p/completed-deployments/2026-0{3,4}/chunk_12 insights/p/applications
	[ "$(head -5 <<<"$output" | cut -d' ' -f2 | tr '\n' ' ')" = "not wanted wanted not not " ]
}

@test "insight: a range of more than two years, or none, is refused" {
	FROM=1 TO=100000000; run -100 $insight "$(ask MTTR)"; [[ "$output" == *"more than two years"* ]]
	FROM=5 TO=1; run -100 $insight "$(ask MTTR)"; [[ "$output" == *"range_from"* ]]
	run -100 $insight '{"metricsKind":"APPLICATIONS_COUNT","rangeFrom":"1","rangeTo":"2"}'; [[ "$output" == *"metrics_kind"* ]]
}
