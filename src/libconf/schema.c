#include "read.h"

#include <string.h>

/*
 * JSON Schema, draft 2020-12, of one kind: what editors complete and check
 * with.  Each object of the rows becomes an entry of $defs.
 */

struct schema {
	struct buf b;
	bool v0, v1;		 /* rows of which forms */
	bool strict;		 /* unknown keys are mistakes */
	int todo[OBJ__N], n, at; /* objects that are referred to */
};

static bool
row_there(const struct schema *s, const struct key *k)
{
	return (s->v1 || !(k->flags & V1)) && (s->v0 || !(k->flags & V0));
}

static void
ref(struct schema *s, int object)
{
	int i;

	for (i = 0; i < s->n && s->todo[i] != object; i++)
		;
	if (i == s->n)
		s->todo[s->n++] = object;
	buf_printf(&s->b, "{\"$ref\":\"#/$defs/%s\"}", objects[object].name);
}

static void
quoted(struct schema *s, const char *text)
{
	node_quote(&s->b, text, strlen(text));
}

static void
choices(struct schema *s, const char *values)
{
	const char *p, *end;

	buf_adds(&s->b, ",\"enum\":[");
	for (p = values;; p = end + 1) {
		end = p + strcspn(p, "|");
		node_quote(&s->b, p, (size_t)(end - p));
		if (*end == '\0')
			break;
		buf_addc(&s->b, ',');
	}
	buf_addc(&s->b, ']');
}

/* The members of a value's schema, without the braces. */
static void
value(struct schema *s, const struct key *k)
{
	static const char *const plain[K_TYPES] = {
		[K_STR] = "\"type\":\"string\"",
		[K_BOOL] = "\"type\":\"boolean\"",
		[K_OFF] = "\"type\":\"boolean\"",
		[K_INT] = "\"type\":\"integer\"",
		[K_NUM] = "\"type\":\"number\"",
		[K_DURATION] = "\"type\":[\"string\",\"integer\"],\"pattern\":"
			       "\"^[-+]?(0|([0-9]+(\\\\.[0-9]*)?|\\\\.[0-9]+)"
			       "(ns|us|µs|ms|s|m|h))+$\"",
		[K_DAYS] = "\"type\":[\"string\",\"integer\"],\"pattern\":"
			   "\"^(0|([0-9]+(\\\\.[0-9]*)?|\\\\.[0-9]+)"
			   "(ns|us|µs|ms|s|m|h|d))+$\"",
		[K_PERCENT] = "\"type\":[\"string\",\"integer\"],"
			      "\"pattern\":\"^[-+]?[0-9]+%?$\"",
		[K_REPLICAS] = "\"type\":[\"string\",\"integer\"],"
			       "\"pattern\":\"^[-+]?[0-9]+%?$\"",
		[K_STRS] = "\"type\":\"array\",\"items\":"
			   "{\"type\":\"string\"}",
		[K_PAIRS] = "\"type\":\"object\",\"additionalProperties\":"
			    "{\"type\":\"string\"}",
	};

	if (plain[k->type] != NULL)
		buf_adds(&s->b, plain[k->type]);
	else if (k->type == K_LIST || k->type == K_JSONS) {
		buf_adds(&s->b, "\"type\":\"array\",\"items\":");
		ref(s, k->sub);
	} else if (k->type == K_MAP || k->type == K_NAMED) {
		buf_adds(
		    &s->b, "\"type\":\"object\",\"additionalProperties\":");
		ref(s, k->sub);
	} else if (k->type != K_ANY && k->sub != OBJ_none) {
		buf_adds(&s->b, "\"allOf\":[");
		ref(s, k->sub);
		buf_addc(&s->b, ']');
	} else
		buf_adds(&s->b, "\"type\":\"object\"");
}

static void
default_value(struct schema *s, const struct key *k)
{
	buf_adds(&s->b, ",\"default\":");
	if (k->type == K_BOOL || k->type == K_OFF || k->type == K_INT ||
	    k->type == K_PERCENT)
		buf_adds(&s->b, k->dflt);
	else
		quoted(s, k->dflt);
}

static void
property(struct schema *s, const struct key *k)
{
	quoted(s, k->name);
	buf_adds(&s->b, ":{");
	value(s, k);
	if (k->values != NULL)
		choices(s, k->values);
	if (k->ranged && k->type == K_INT)
		buf_printf(&s->b, ",\"minimum\":%lld", (long long)k->min);
	if (k->dflt != NULL)
		default_value(s, k);
	buf_adds(&s->b, ",\"description\":");
	quoted(s, k->doc);
	buf_addc(&s->b, '}');
}

/* Of a key in both forms, where a schema is for both, the later row. */
static bool
again(const struct schema *s, const struct object *o, const struct key *first)
{
	const struct key *k;
	struct key_walk w;
	bool past = false;
	int off;

	key_walk(&w, o);
	while ((k = key_next(&w, &off)) != NULL) {
		if (past && row_there(s, k) &&
		    strcmp(k->name, first->name) == 0)
			return true;
		past = past || k == first;
	}
	return false;
}

/* "if NAME is VALUE then MEMBER is like OBJECT". */
static void
when(struct schema *s, bool more, const char *name, const char *is,
    const char *member, int object)
{
	buf_printf(&s->b,
	    "%s{\"if\":{\"properties\":{\"%s\":{\"const\":\"%s\"}}"
	    ",\"required\":[\"%s\"]},"
	    "\"then\":{\"properties\":{\"%s\":",
	    more ? "," : "", name, is, name, member);
	ref(s, object);
	buf_adds(&s->b, "}}}");
}

/* What rows cannot say: options follow a name or type. */
static void
conditions(struct schema *s, int object)
{
	const struct stage_row *row;
	const struct provider_type *t;
	size_t i;
	bool more = false;

	if (object == OBJ_stage) {
		buf_adds(&s->b, ",\"allOf\":[");
		for (i = 0; (row = stage_rows_get(i)) != NULL; i++) {
			if (!(row->forms & (s->v1 ? V1 : V0)))
				continue;
			when(s, more, "name", row->name, "with", row->options);
			more = true;
		}
		buf_addc(&s->b, ']');
	}
	if (object == OBJ_provider) {
		buf_adds(&s->b, ",\"allOf\":[");
		for (i = 0; (t = provider_types_get(i)) != NULL; i++) {
			when(s, more, "type", t->type, "config", t->target);
			more = true;
		}
		buf_addc(&s->b, ']');
	}
}

static void
stage_names(struct schema *s)
{
	const struct stage_row *row;
	bool more = false;
	size_t i;

	/* A v1 pipeline may have a plugin's own. */
	buf_adds(&s->b, s->v1 ? "\"examples\":[" : "\"enum\":[");
	for (i = 0; (row = stage_rows_get(i)) != NULL; i++) {
		if (!(row->forms & (s->v1 ? V1 : V0)))
			continue;
		buf_adds(&s->b, more ? "," : "");
		quoted(s, row->name);
		more = true;
	}
	buf_addc(&s->b, ']');
}

static void
definition(struct schema *s, int object)
{
	const struct object *o = &objects[object];
	const struct key *k;
	struct key_walk w;
	bool more = false;
	int off;

	quoted(s, o->name);
	buf_adds(&s->b, ":{\"type\":\"object\",\"description\":");
	quoted(s, o->doc);
	buf_adds(&s->b, ",\"properties\":{");
	key_walk(&w, o);
	while ((k = key_next(&w, &off)) != NULL) {
		if (!row_there(s, k) || again(s, o, k))
			continue;
		buf_adds(&s->b, more ? ",\n" : "\n");
		more = true;
		if (object == OBJ_stage && strcmp(k->name, "name") == 0) {
			buf_adds(&s->b, "\"name\":{\"type\":\"string\",");
			stage_names(s);
			buf_adds(&s->b, ",\"description\":");
			quoted(s, k->doc);
			buf_addc(&s->b, '}');
		} else
			property(s, k);
	}
	buf_addc(&s->b, '}');
	more = false;
	key_walk(&w, o);
	while ((k = key_next(&w, &off)) != NULL) {
		if (!row_there(s, k) ||
		    !(k->flags & REQ || (s->v1 && k->flags & REQ1)))
			continue;
		buf_adds(&s->b, more ? "," : ",\"required\":[");
		more = true;
		quoted(s, k->name);
	}
	if (more)
		buf_addc(&s->b, ']');
	if (s->strict && o->how != TOLERATE)
		buf_adds(&s->b, ",\"additionalProperties\":false");
	conditions(s, object);
	buf_addc(&s->b, '}');
}

const char *const conf_kinds[] = { "Piped", "Application", "KubernetesApp",
	"TerraformApp", "CloudRunApp", "LambdaApp", "ECSApp",
	"AnalysisTemplate", "EventWatcher", "ControlPlane", NULL };

int
conf_kind_object(const char *kind)
{
	int i;

	if (strcmp(kind, "Piped") == 0)
		return OBJ_piped;
	if (strcmp(kind, "ControlPlane") == 0)
		return OBJ_control;
	for (i = OBJ_none + 1; i < OBJ__N; i++) {
		if (strcmp(objects[i].name, kind) == 0)
			return i;
	}
	return OBJ_none;
}

void
conf_schema(FILE *out, const char *kind)
{
	struct schema s = { .b = BUF_INIT };
	int object = conf_kind_object(kind);

	must(object != OBJ_none);
	s.v1 = strcmp(kind, "Application") == 0 || object == OBJ_piped;
	s.v0 = strcmp(kind, "Application") != 0;
	s.strict = strcmp(kind, "Application") != 0 && object != OBJ_piped;
	buf_printf(&s.b,
	    "{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\",\n"
	    "\"title\":\"PipeCD: %s\",\n\"type\":\"object\",\n"
	    "\"required\":[\"apiVersion\",\"kind\"],\n\"properties\":{\n"
	    "\"apiVersion\":{\"const\":\"pipecd.dev/v1beta1\"},\n"
	    "\"kind\":{\"const\":\"%s\"},\n\"spec\":",
	    kind, kind);
	ref(&s, object);
	buf_adds(&s.b, "},\n\"$defs\":{\n");
	for (s.at = 0; s.at < s.n; s.at++) {
		buf_adds(&s.b, s.at > 0 ? ",\n" : "");
		definition(&s, s.todo[s.at]);
	}
	buf_adds(&s.b, "}}\n");
	fwrite(s.b.p, 1, s.b.len, out);
	buf_free(&s.b);
}
