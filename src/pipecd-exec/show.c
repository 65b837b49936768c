/* -r and -V: what journals say, for people; nothing is touched. */
#include <stdio.h>
#include <string.h>

#include "exec.h"

/* Text that somebody else wrote, without what a terminal would obey. */
static const char *
plain(const char *s, struct arena *a)
{
	char *t = arena_strdup(a, s != NULL ? s : ""), *p;

	for (p = t; *p != '\0'; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = ' ';
	/* C1 controls, which UTF-8 spells 0xc2 0x80..0x9f. */
	for (p = t; (p = strchr(p, '\xc2')) != NULL; p++)
		if ((unsigned char)p[1] >= 0x80 && (unsigned char)p[1] < 0xa0)
			p[0] = p[1] = ' ';
	return t;
}

static void
show_stage(const struct journal_state *s, size_t i)
{
	const Model__PipelineStage *m = s->deployment->stages[i];

	printf("stage     %-24s %-15s%s%s%s\n", plain(m->name, s->arena),
	    msg_enum_name(
		&model__stage_status__descriptor, (int)m->status, MSG_FRAME),
	    s->stage[i].needs_human ? " needs a person:" : "",
	    m->status_reason[0] != '\0' ? " " : "",
	    plain(m->status_reason, s->arena));
	if (m->status == S_(RUNNING) && s->stage[i].pid > 0)
		printf("process   pid %lld, attempt %d\n",
		    (long long)s->stage[i].pid, s->stage[i].attempt);
}

static void
show(const struct journal_state *s, const struct journal_reader *r)
{
	const Model__Deployment *m = s->deployment;
	char at[21];
	size_t i;

	printf("deployment %s\n", plain(m->id, s->arena));
	printf("application %s\n", plain(m->application_name, s->arena));
	if (m->trigger != NULL && m->trigger->commit != NULL)
		printf("commit    %.7s %.*s\n",
		    plain(m->trigger->commit->hash, s->arena),
		    (int)strcspn(m->trigger->commit->message, "\n"),
		    plain(m->trigger->commit->message, s->arena));
	printf("status    %s%s\n",
	    msg_enum_name(&model__deployment_status__descriptor, (int)m->status,
		MSG_FRAME),
	    deployment_ended(m->status) ? "" : " (unfinished)");
	if (m->status_reason[0] != '\0')
		printf("reason    %s\n", plain(m->status_reason, s->arena));
	if (s->cancelled_by != NULL)
		printf("cancelled by %s\n", plain(s->cancelled_by, s->arena));
	for (i = 0; i < s->n_stages; i++)
		show_stage(s, i);
	if (m->completed_at > 0) {
		time_iso(at, m->completed_at);
		printf("completed %s\n", at);
	}
	printf("records   %ld, %ld of them log lines; last %s\n", s->records,
	    s->logs, r->prev);
}

int
replay_main(const char *path)
{
	struct arena *a = arena_new();
	struct journal_reader r = { .in = NULL };
	struct journal_state s;
	struct err e;
	int rv = RC_NO;

	journal_state_init(&s, a);
	if (journal_reader_open(&r, path, &e) == -1) {
		journal_reader_close(&r);
		die(&e);
	}
	if (journal_replay(&s, &r, &e) == -1) {
		log_error("-", "%s", e.text);
		rv = e.exit;
		goto out;
	}
	if (r.torn > 0)
		log_warn("-",
		    "%s:%ld: cut off: %lld bytes of a last line are left out",
		    path, r.n, (long long)r.torn);
	if (s.deployment == NULL) {
		log_error("-", "%s: no deployment in it", path);
		goto out;
	}
	show(&s, &r);
	rv = s.deployment->status == D_(SUCCESS) ? RC_OK : RC_NO;
out:
	journal_reader_close(&r);
	arena_free(a);
	return rv;
}

int
verify_main(char *const *paths)
{
	struct arena *a = arena_new();
	struct journal_reader r;
	struct frame f;
	struct err e;
	int rv = RC_OK, got = 0;

	for (; *paths != NULL; paths++) {
		if (journal_reader_open(&r, *paths, &e) == 0)
			while ((got = journal_next(&r, &f, a, &e)) != 2 &&
			       got != -1)
				arena_reset(a);
		else
			got = -1;
		if (got == -1) {
			log_error("-", "%s", e.text);
			rv = RC_NO;
		} else if (r.torn > 0)
			printf("%s: ok, %lld records; %lld bytes of a last "
			       "line that was cut off\n",
			    *paths, (long long)r.seq, (long long)r.torn);
		else
			printf(
			    "%s: ok, %lld records\n", *paths, (long long)r.seq);
		journal_reader_close(&r);
	}
	arena_free(a);
	return rv;
}
