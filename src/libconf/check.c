#include "read.h"

#include <stdio.h>
#include <string.h>

/* Kinds that are only checked here. */
static const struct {
	const char *kind;
	int object;
} others[] = {
	{ "AnalysisTemplate", OBJ_AnalysisTemplate },
	{ "EventWatcher", OBJ_EventWatcher },
};

static void
check_kind(struct reader *r, const struct envelope *v)
{
	struct path at = { .name = "kind" };
	struct conf_control *control;
	struct conf_piped *piped;
	struct conf_app *app;
	size_t i;

	if (strcmp(v->kind, "Piped") == 0) {
		piped = arena_new_of(r->a, struct conf_piped);
		piped_spec(r, piped, v);
		return;
	}
	if (strcmp(v->kind, "ControlPlane") == 0) {
		control = arena_new_of(r->a, struct conf_control);
		control_spec(r, control, v);
		return;
	}
	if (app_object(v->kind) != OBJ_none) {
		app = arena_new_of(r->a, struct conf_app);
		app_spec(r, app, v);
		for (i = 0; i < app->n_refused; i++)
			warning(r, key_value(v->root, "kind"), NULL, "%s",
			    app->refused[i]);
		return;
	}
	for (i = 0; i < NITEMS(others); i++) {
		if (strcmp(others[i].kind, v->kind) != 0)
			continue;
		r->strict = true;
		envelope_keys(r, v);
		read_object(r, &objects[others[i].object], v->spec, NULL, NULL);
		return;
	}
	if (strcmp(v->kind, "SealedSecret") == 0)
		mistake(r, key_value(v->root, "kind"), &at,
		    "SealedSecret is not read any more; use "
		    "spec.encryption in the application");
	else
		mistake(r, key_value(v->root, "kind"), &at,
		    "\"%.40s\" is no kind; there is Piped, Application, "
		    "KubernetesApp, TerraformApp, CloudRunApp, LambdaApp, "
		    "ECSApp, AnalysisTemplate, EventWatcher and ControlPlane",
		    v->kind);
}

int
conf_check(const char *name, const char *text, size_t n,
    struct conf_report *out, struct err *e)
{
	struct arena *a = arena_new();
	struct envelope v;
	struct reader r;
	int rv;

	reader_init(&r, name, a);
	if (envelope_read(&v, &r, text, n) == 0)
		check_kind(&r, &v);
	rv = reader_end(&r, out, e);
	arena_free(a);
	return rv;
}

int
conf_check_main(char *const *files)
{
	struct buf text = BUF_INIT, said = BUF_INIT;
	struct conf_report rep;
	struct err e;
	int rc = RC_OK;

	for (; *files != NULL; files++) {
		buf_reset(&text);
		buf_reset(&said);
		rep = (struct conf_report){ .text = &said };
		switch (file_read(*files, NODE_TEXT_MAX, &text, &e)) {
		case 0:
			err_set(&e, RC_PERM, "%s: no such file", *files);
			/* FALLTHROUGH */
		case -1:
			log_error("-", "%s", e.text);
			rc = RC_PERM;
			continue;
		default:
			break;
		}
		if (conf_check(*files, text.p, text.len, &rep, &e) == -1) {
			fputs(said.p, stderr);
			if (rep.errors > 1)
				log_error("-", "%s", e.text);
			if (rc == RC_OK)
				rc = RC_NO;
		} else
			fputs(said.p, stderr);
	}
	buf_free(&text);
	buf_free(&said);
	return rc;
}

int
conf_json_read(int what, void *out, const char *name, const char *json,
    struct arena *a, struct err *e)
{
	const struct object *o = &objects[what];
	struct path at = { .name = "" };
	struct buf said = BUF_INIT;
	struct node *n;
	struct reader r;
	size_t len;

	must(what > CONF_none && what < CONF__N);
	memset(out, 0, o->size);
	reader_init(&r, name, a);
	if (node_json(&n, name, json, strlen(json), a, e) == -1)
		return -1;
	at.name = name;
	read_object(&r, o, n, out, &at);
	if (r.errors == 0)
		return 0;
	/* One line of JSON has no places worth naming. */
	for (; r.mistakes != NULL; r.mistakes = r.mistakes->next) {
		if (r.mistakes->warning)
			continue;
		len = strlen(r.mistakes->text);
		if (said.len + len > 400)
			break;
		buf_printf(
		    &said, "%s%s", said.len > 0 ? "; " : "", r.mistakes->text);
	}
	err_set(e, RC_PERM, "%s", said.p);
	buf_free(&said);
	return -1;
}
