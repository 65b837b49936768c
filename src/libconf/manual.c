#include "read.h"

#include <ctype.h>
#include <string.h>

/*
 * Manual pages of the file formats, in man(7), from the rows: a key per
 * paragraph, maps indented below their key.
 */

struct page {
	FILE *out;
	bool v0, v1;
	int seen[OBJ__N]; /* objects that were told in full */
};

static void
text(FILE *out, const char *s)
{
	if (*s == '.' || *s == '\'')
		fputs("\\&", out);
	for (; *s != '\0'; s++) {
		if (*s == '\\')
			fputs("\\e", out);
		else if (*s == '-')
			fputs("\\-", out);
		else
			fputc(*s, out);
	}
}

static const char *
type_name(const struct key *k)
{
	static const char *const names[K_TYPES] = {
		[K_STR] = "text",
		[K_BOOL] = "boolean",
		[K_OFF] = "boolean",
		[K_INT] = "whole number",
		[K_NUM] = "number",
		[K_DURATION] = "duration",
		[K_DAYS] = "duration, days too",
		[K_PERCENT] = "percentage",
		[K_REPLICAS] = "number or percentage",
		[K_STRS] = "list of text",
		[K_PAIRS] = "map of text",
		[K_OBJ] = "map",
		[K_LIST] = "list of maps",
		[K_NAMED] = "map of maps",
		[K_MAP] = "map of maps",
		[K_MAPANY] = "map",
		[K_JSON] = "map",
		[K_JSONS] = "list of maps",
		[K_ANY] = "map",
	};

	return names[k->type];
}

static void
key_text(struct page *p, const struct key *k)
{
	fputs(".TP\n.B ", p->out);
	text(p->out, k->name);
	fprintf(p->out, "\n(%s", type_name(k));
	if (k->flags & REQ)
		fputs(", required", p->out);
	if (k->dflt != NULL) {
		fputs(", default ", p->out);
		text(p->out, k->dflt);
	}
	if (k->values != NULL) {
		fputs("; ", p->out);
		text(p->out, k->values);
	}
	fputs(")\n", p->out);
	if (k->doc[0] != '\0') {
		fputc(toupper((unsigned char)k->doc[0]), p->out);
		text(p->out, k->doc + 1);
		fputs(".\n", p->out);
	}
	if (p->v0 && p->v1 && (k->flags & (V0 | V1)))
		fprintf(p->out, "Only in the %s form.\n",
		    k->flags & V0 ? "older" : "newer");
	if (k->flags & OURS)
		fputs("PipeCD does not have it.\n", p->out);
}

static void
object_body(struct page *p, int object)
{
	const struct object *o = &objects[object];
	const struct key *k;
	struct key_walk w;
	int off;

	p->seen[object] = 1;
	key_walk(&w, o);
	while ((k = key_next(&w, &off)) != NULL) {
		if ((!p->v1 && (k->flags & V1)) || (!p->v0 && (k->flags & V0)))
			continue;
		key_text(p, k);
		if (k->sub == OBJ_none || objects[k->sub].n_keys == 0)
			continue;
		if (p->seen[k->sub]) {
			fputs("As above.\n", p->out);
			continue;
		}
		fputs(".RS\n", p->out);
		object_body(p, k->sub);
		fputs(".RE\n", p->out);
	}
}

static void
stages(struct page *p)
{
	const struct stage_row *row;
	size_t i;

	fputs(".SH STAGES\nThe options of each stage, under\n.BR with .\n",
	    p->out);
	for (i = 0; (row = stage_rows_get(i)) != NULL; i++) {
		fputs(".SS ", p->out);
		text(p->out, row->name);
		fputs("\n", p->out);
		if (row->plugin == NULL)
			fputs("Read and checked; this build does not run it "
			      "yet.\n",
			    p->out);
		if (objects[row->options].n_keys == 0)
			fputs("No options.\n", p->out);
		else
			object_body(p, row->options);
	}
}

static void
targets(struct page *p)
{
	const struct provider_type *t;
	size_t i;

	fputs(".SH TARGETS\nThe\n.B config\nof a deploy target, by plugin "
	      "(and type of provider in the older form).\n",
	    p->out);
	for (i = 0; (t = provider_types_get(i)) != NULL; i++) {
		fprintf(p->out, ".SS %s (%s)\n", t->plugin, t->type);
		if (p->seen[t->target])
			fputs("As above.\n", p->out);
		else
			object_body(p, t->target);
	}
}

static void
kind_body(struct page *p, const char *kind)
{
	fprintf(p->out, ".SH KIND %s\n", kind);
	object_body(p, conf_kind_object(kind));
}

static const char common[] =
    ".SH DESCRIPTION\n"
    "YAML, with the keys\n"
    ".B apiVersion\n"
    "(pipecd.dev/v1beta1),\n"
    ".B kind\n"
    "and\n"
    ".BR spec .\n"
    "What follows is below spec.\n"
    "Scalars are those of YAML 1.1: an unquoted yes, no, on, off, y or n is a\n"
    "boolean.\n"
    "A duration is 90s, 5m, 1h30m, or a number of nanoseconds.\n"
    "Keys are matched without regard to case.\n"
    "Of a file with more than one document the first is read.\n";

void
conf_manual(FILE *out, const char *page)
{
	static const char *const apps[] = { "KubernetesApp", "TerraformApp",
		"CloudRunApp", "LambdaApp", "ECSApp" };
	struct page p = { .out = out };
	size_t i;

	fprintf(out, ".TH %s 5 \"\" PipeCD\n.SH NAME\n%s \\- ", page, page);
	if (strcmp(page, "piped.yaml") == 0) {
		fprintf(out, "configuration of the agent\n%s", common);
		fputs("Check it, and see what is in effect, with\n"
		      ".BR \"piped \\-n \\-f piped.yaml\" .\n",
		    out);
		p.v0 = p.v1 = true;
		kind_body(&p, "Piped");
		targets(&p);
		fputs(".SH SEE ALSO\npiped(1), app.pipecd.yaml(5)\n", out);
	} else if (strcmp(page, "app.pipecd.yaml") == 0) {
		fprintf(out,
		    "what an application is and how it is deployed\n%s",
		    common);
		fputs("The file is called app.pipecd.yaml, NAME.pipecd.yaml or "
		      ".pipe.yaml.\nCheck it with\n"
		      ".BR \"pipecd\\-plan \\-n FILE\" .\n",
		    out);
		p.v1 = true;
		kind_body(&p, "Application");
		stages(&p);
		memset(p.seen, 0, sizeof(p.seen));
		p.v0 = true;
		p.v1 = false;
		p.seen[OBJ_app] = 1;
		fputs(
		    ".SH KINDS OF BEFORE\nThese have the general keys of kind "
		    "Application, and:\n",
		    out);
		for (i = 0; i < NITEMS(apps); i++) {
			fprintf(out, ".SS %s\n", apps[i]);
			object_body(&p, app_own(apps[i]));
		}
		kind_body(&p, "AnalysisTemplate");
		kind_body(&p, "EventWatcher");
		fputs(".SH SEE ALSO\npipecd\\-plan(1), piped.yaml(5)\n", out);
	} else {
		must(strcmp(page, "control-plane.yaml") == 0);
		fprintf(out, "configuration of the control plane\n%s", common);
		p.v0 = true;
		fputs("Check it, and see what is in effect, with\n"
		      ".BR \"pipecd \\-n \\-f FILE\" .\n",
		    out);
		kind_body(&p, "ControlPlane");
		fputs(".SH SEE ALSO\npipecd(1), piped.yaml(5)\n", out);
	}
}
