load ../../lib/common
load ../../lib/platform

setup() {
	host_new "$BATS_TEST_TMPDIR" 5
	DEP=d1 host_stage HOST_SYNC $C1
	INPUT='{"activate":"echo $PIPECD_COMMIT >>$PIPECD_ROOT/log"}'
}

commits() { for i in 1 2 3 4 5; do printf '%s ' "$(current web-$i | cut -c10)"; done; }

@test "HOST_CANARY_ROLLOUT takes the first targets: a share rounded up, a number, or one" {
	WITH='{"targets":"25%"}' host_stage HOST_CANARY_ROLLOUT $C2 $C1
	[ "$STATUS" = SUCCESS ]
	[ "$(commits)" = "2 2 1 1 1 " ]
	[ "$(jq -r 'select(.kind=="stage_meta" and .shared)|.key+"="+.value' <<<"$output")" = host-canary-targets=web-1,web-2 ]
	WITH='{"targets":3}' DEP=d3 host_stage HOST_CANARY_ROLLOUT $C2 $C1
	[ "$(commits)" = "2 2 2 1 1 " ]
}

@test "a canary of no given size is one target" {
	host_stage HOST_CANARY_ROLLOUT $C2 $C1
	[ "$(commits)" = "2 1 1 1 1 " ]
}

@test "HOST_PRIMARY_ROLLOUT takes the rest, and runs activate once on each" {
	WITH='{"targets":2}' host_stage HOST_CANARY_ROLLOUT $C2 $C1
	host_stage HOST_PRIMARY_ROLLOUT $C2 $C1
	[ "$STATUS" = SUCCESS ]
	[ "$(commits)" = "2 2 2 2 2 " ]
	for i in 1 2 3 4 5; do [ "$(cat "$ROOTS/web-$i/log")" = $C2 ]; done
}

@test "HOST_CANARY_CLEAN takes the canaries back when no primary followed, and only then" {
	meta='.deployment.metadata_v2={shared:{keyValues:{"host-canary-targets":"web-1,web-2"}}}'
	WITH='{"targets":2}' host_stage HOST_CANARY_ROLLOUT $C2 $C1
	host_stage HOST_CANARY_CLEAN $C2 $C1 "$meta"
	[ "$STATUS" = SUCCESS ]
	[ "$(commits)" = "1 1 1 1 1 " ]
	DEP=d9
	WITH='{"targets":2}' host_stage HOST_CANARY_ROLLOUT $C2 $C1
	host_stage HOST_PRIMARY_ROLLOUT $C2 $C1 "$meta"
	host_stage HOST_CANARY_CLEAN $C2 $C1 "$meta"
	[ "$STATUS" = SUCCESS ]
	[ "$(commits)" = "2 2 2 2 2 " ]
}

@test "a canary that fails rolls back alone" {
	INPUT='{"activate":"[ $PIPECD_ROLLBACK = true ]"}'
	host_stage HOST_CANARY_ROLLOUT $C2 $C1
	[ "$STATUS" = FAILURE ]
	[ "$(commits)" = "2 1 1 1 1 " ]
	host_stage HOST_ROLLBACK $C2 $C1
	[ "$STATUS" = SUCCESS ]
	[[ "$REASON" == "back at 1111111 on 1 target" ]]
	[ "$(commits)" = "1 1 1 1 1 " ]
}

@test "one target that cannot go back keeps no other from it, and a person is asked for" {
	DEP=d2 host_stage HOST_SYNC $C2 $C1
	INPUT='{"activate":"[ $PIPECD_TARGET != web-2 ]"}'
	DEP=d2 host_stage HOST_ROLLBACK $C2 $C1
	[ "$STATUS" = FAILURE ]
	[ "$(jq .needs_human <<<"$DONE")" = true ]
	[[ "$REASON" == *"could not go back to commit 1111111: web-2: activate failed"* ]]
	[ "$(commits)" = "1 1 1 1 1 " ]
}

@test "a size of the canary that is none is refused" {
	WITH='{"targets":"many"}' host_stage HOST_CANARY_ROLLOUT $C2 $C1
	[ "$STATUS" = FAILURE ]
	[[ "$REASON" == *targets* ]]
}
