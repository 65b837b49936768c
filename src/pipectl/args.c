#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf.h"
#include "ctl.h"

#define OPT(n, t, f, d, v, a) \
	{ .name = n, \
		.type = OPT_##t, \
		.flags = f, \
		.dflt = d, \
		.values = v, \
		.about = a },
const struct opt global_opts[] = { OPT("address", STR, 0, NULL, NULL,
    "the control plane, host:port") OPT("api-key", STR, 0, NULL, NULL,
    "the API key; anybody on this host can read it in the list of processes")
	    OPT("api-key-file", STR, 0, NULL, NULL, "a file with it") OPT(
		"insecure", BOOL, 0, NULL, NULL, "without TLS") OPT("cert-file",
		STR, 0, NULL, NULL,
		"who signed the server's certificate, PEM; without it the "
		"system's list") OPT("context", STR, 0, NULL, NULL,
		"a server remembered by `pipectl context add`") OPT("local",
		STR, 0, NULL, NULL,
		"ask the store below this state directory instead of a server")
		OPT("output", STR, 0, NULL, "table wide json yaml name",
		    "default: table on a terminal, json otherwise (also -o)")
		    OPT("verbose", BOOL, 0, NULL, NULL,
			"more on stderr (also -v)") OPT("log-level", STR, 0,
			NULL, "debug info warn error",
			"PipeCD's; debug is --verbose") OPT("log-encoding", STR,
			0, NULL, "json console humanize",
			"PipeCD's, for scripts that say it; without effect, as "
			"is the rest of these") OPT("metrics", BOOL, 0, NULL,
			NULL, "PipeCD's") OPT("profile", BOOL, 0, NULL, NULL,
			"PipeCD's") OPT("profile-debug-logging", BOOL, 0, NULL,
			NULL, "PipeCD's") OPT("profiler-credentials-file", STR,
			0, NULL, NULL, "PipeCD's") OPT("help", BOOL, 0, NULL,
			NULL, "what there is (also -h)"){ .name = NULL } };
#define CMD(n, v, fn, t, about, opts) \
	{ n, v, fn, TARGET_##t, about, \
		(const struct opt[]){ opts{ .name = NULL } } },
const struct command commands[] = {
#include "commands.def"
	{ .noun = NULL }
};

/* --- which command --------------------------------------------------------- */

/* A letter and the option it is short for, where there is such an option. */
static const char *const short_names[] = { "ooutput", "vverbose", "hhelp",
	"ffollow", "wwatch" };

/*
 * How many of the words a command's name takes, when they begin with all of
 * it; 0 otherwise.  A verb may be two words, or none.
 */
static size_t
name_words(const struct command *d, const char *const *words, size_t n)
{
	const char *v = d->verb;
	size_t i, len;

	if (n == 0 || strcmp(words[0], d->noun) != 0)
		return 0;
	for (i = 1; *v != '\0'; i++) {
		len = strcspn(v, " ");
		if (i >= n || strlen(words[i]) != len ||
		    memcmp(words[i], v, len) != 0)
			return 0;
		v += len + (v[len] == ' ');
	}
	return i;
}

static const struct command *
command_find(const char *const *words, size_t n, size_t *taken)
{
	const struct command *d, *best = NULL;
	size_t k;

	*taken = 0;
	for (d = commands; d->noun != NULL; d++)
		if ((k = name_words(d, words, n)) > *taken) {
			*taken = k;
			best = d;
		}
	return best;
}

static const struct opt *
opt_find(const struct opt *o, const char *name, size_t n)
{
	for (; o != NULL && o->name != NULL; o++)
		if (strlen(o->name) == n && memcmp(o->name, name, n) == 0)
			return o;
	return NULL;
}

/* Of every command, or of this one. */
static const struct opt *
opt_any(const struct ctl *c, const char *name, size_t n)
{
	const struct opt *o = opt_find(global_opts, name, n);

	return o == NULL && c->command != NULL
		   ? opt_find(c->command->opts, name, n)
		   : o;
}

/* --- did you mean ---------------------------------------------------------- */

/* How many letters must change to make one word the other (Levenshtein). */
static size_t
distance(const char *a, const char *b)
{
	size_t row[64], i, j, old, diag, n = strlen(b);

	if (n >= NITEMS(row) || strlen(a) >= NITEMS(row))
		return NITEMS(row);
	for (j = 0; j <= n; j++)
		row[j] = j;
	for (i = 0; a[i] != '\0'; i++) {
		diag = row[0];
		row[0] = i + 1;
		for (j = 0; j < n; j++) {
			old = row[j + 1];
			if (a[i] != b[j])
				diag++;
			if (diag > row[j] + 1)
				diag = row[j] + 1;
			if (diag > old + 1)
				diag = old + 1;
			row[j + 1] = diag;
			diag = old;
		}
	}
	return row[n];
}

void
near_try(struct near *n, const char *given, const char *candidate)
{
	size_t d = distance(given, candidate);
	size_t most = strlen(given) > 4 ? 2 : 1;

	if (*given != '\0' && str_prefix(candidate, given))
		d = 1;
	if (d <= most && (n->word == NULL || d < n->distance))
		*n = (struct near){ candidate, d };
}

static int
no_command(const char *const *words, size_t n, struct err *e)
{
	const struct command *d;
	struct near noun = { NULL, 0 }, verb = { NULL, 0 };
	bool known = false;

	for (d = commands; d->noun != NULL; d++) {
		if (strcmp(words[0], d->noun) == 0) {
			known = true;
			if (n > 1)
				near_try(&verb, words[1], d->verb);
		} else
			near_try(&noun, words[0], d->noun);
	}
	if (known && n == 1)
		return err_set(e, RC_PERM,
		    "%s: what of it?  See pipectl %s --help", words[0],
		    words[0]);
	if (known && verb.word != NULL)
		return err_set(e, RC_PERM,
		    "%s %s: no such command; did you mean `pipectl %s %s`?",
		    words[0], words[1], words[0], verb.word);
	if (known)
		return err_set(e, RC_PERM,
		    "%s %s: no such command; see pipectl %s --help", words[0],
		    words[1], words[0]);
	if (noun.word != NULL)
		return err_set(e, RC_PERM,
		    "%s: no such command; did you mean `pipectl %s`?", words[0],
		    noun.word);
	return err_set(
	    e, RC_PERM, "%s: no such command; see pipectl --help", words[0]);
}

static int
no_opt(const struct ctl *c, const char *name, size_t len, struct err *e)
{
	const struct opt *lists[2] = { global_opts,
		c->command != NULL ? c->command->opts : NULL };
	char *given = arena_strndup(c->a, name, len);
	struct near near = { NULL, 0 };
	const struct opt *o;
	size_t i;

	for (i = 0; i < NITEMS(lists); i++)
		for (o = lists[i]; o != NULL && o->name != NULL; o++)
			near_try(&near, given, o->name);
	if (near.word != NULL)
		return err_set(e, RC_PERM,
		    "--%s: no such option; did you mean --%s?", given,
		    near.word);
	return err_set(e, RC_PERM, "--%s: no such option; see --help", given);
}

/* --- reading --------------------------------------------------------------- */

/* The option that an argument names; *value is what follows its '='. */
static const struct opt *
opt_of(const struct ctl *c, const char *arg, const char **value, size_t *len)
{
	size_t i;

	*value = NULL;
	if (arg[1] != '-') {
		for (i = 0; i < NITEMS(short_names); i++)
			if (arg[1] == short_names[i][0]) {
				if (arg[2] != '\0')
					*value = arg + 2 + (arg[2] == '=');
				return opt_any(c, short_names[i] + 1,
				    strlen(short_names[i] + 1));
			}
		*len = strlen(arg) - 1;
		return NULL;
	}
	*len = strcspn(arg + 2, "=");
	if (arg[2 + *len] == '=')
		*value = arg + 2 + *len + 1;
	return opt_any(c, arg + 2, *len);
}

/*
 * Whose options they are is known when the words are: they may stand between.
 * What only a command has cannot stand before it.
 */
static void
words_find(struct ctl *c, int argc, char *const argv[], size_t *taken)
{
	const char **words = arena_array(c->a, const char *, (size_t)argc + 1);
	const char *value;
	const struct opt *o;
	size_t n = 0, len;
	int i;

	for (i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--") == 0)
			break;
		if (argv[i][0] != '-' || argv[i][1] == '\0') {
			words[n++] = argv[i];
			c->command = command_find(words, n, taken);
			continue;
		}
		o = opt_of(c, argv[i], &value, &len);
		if (o != NULL && o->type != OPT_BOOL && value == NULL)
			i++;
	}
	c->words = words;
	c->n_words = n;
}

static int
value_check(const struct opt *o, const char *v, struct err *e)
{
	const char *p, *end;
	char *rest;
	int64_t ms;

	switch (o->type) {
	case OPT_INT:
		if (strtoll(v, &rest, 10) < 0 || rest == v || *rest != '\0')
			return err_set(e, RC_PERM,
			    "--%s: \"%s\" is no number from 0 up", o->name, v);
		break;
	case OPT_DURATION:
		if (conf_duration(&ms, v) == -1 || ms < 0)
			return err_set(e, RC_PERM,
			    "--%s: \"%s\" is not a duration, such as 90s or 5m",
			    o->name, v);
		break;
	case OPT_BOOL:
		if (strcmp(v, "true") != 0 && strcmp(v, "false") != 0)
			return err_set(e, RC_PERM,
			    "--%s: \"%s\" is neither true nor false", o->name,
			    v);
		break;
	case OPT_PAIRS:
		if (strcspn(v, "=:") == 0 || v[strcspn(v, "=:")] == '\0')
			return err_set(e, RC_PERM,
			    "--%s: \"%s\" is not KEY=VALUE", o->name, v);
		break;
	default:
		break;
	}
	if (o->values == NULL)
		return 0;
	for (p = o->values; *p != '\0'; p = end + (*end == ' ')) {
		end = p + strcspn(p, " ");
		if (strlen(v) == (size_t)(end - p) &&
		    memcmp(p, v, (size_t)(end - p)) == 0)
			return 0;
	}
	return err_set(
	    e, RC_PERM, "--%s: \"%s\" is none of: %s", o->name, v, o->values);
}

static int
give(struct ctl *c, const struct opt *o, const char *v, struct err *e)
{
	static const char whole[] = "DEPLOYMENT_";
	bool many = o->type == OPT_LIST || o->type == OPT_PAIRS;
	const char *one;
	size_t len;

	do {
		len = many ? strcspn(v, ",") : strlen(v);
		one = arena_strndup(c->a, v, len);
		/* PipeCD's pipectl has its users write DEPLOYMENT_SUCCESS. */
		if (o->values != NULL &&
		    strncmp(one, whole, sizeof whole - 1) == 0)
			one += sizeof whole - 1;
		if (value_check(o, one, e) == -1)
			return -1;
		c->given[c->n_given++] = (struct given){ o, one };
		v += len + (v[len] == ',');
	} while (*v != '\0');
	return 0;
}

/* Every option that must be there is, and every word has a meaning. */
static int
complete_check(struct ctl *c, struct err *e)
{
	const struct opt *o, *first = NULL;

	for (o = c->command->opts; o->name != NULL; o++)
		if (o->flags & OPT_FIRST)
			first = o;
	if (c->n_words > 0 && first != NULL && !arg_given(c, first->name)) {
		if (give(c, first, c->words[0], e) == -1)
			return -1;
		c->words++;
		c->n_words--;
	}
	if (c->n_words > 0)
		return err_set(e, RC_PERM, "%s: not expected here; see --help",
		    c->words[0]);
	for (o = c->command->opts; o->name != NULL; o++)
		if ((o->flags & OPT_REQUIRED) && !arg_given(c, o->name))
			return err_set(e, RC_PERM, "--%s is needed: %s",
			    o->name, o->about);
	return 0;
}

/* Room for what a command line of this many bytes can give at most. */
static size_t
most_given(int argc, char *const argv[])
{
	size_t n = 2;
	int i;

	for (i = 0; i < argc; i++)
		n += 1 + strlen(argv[i]);
	return n;
}

int
args_parse(struct ctl *c, int argc, char *const argv[], struct err *e)
{
	const struct opt *o;
	const char *value;
	size_t taken = 0, len = 0;
	int i;

	words_find(c, argc, argv, &taken);
	c->given = arena_array(c->a, struct given, most_given(argc, argv));
	for (i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (argv[i][0] != '-' || argv[i][1] == '\0')
			continue;
		if ((o = opt_of(c, argv[i], &value, &len)) == NULL) {
			if (argv[i][1] != '-')
				usage(synopsis);
			return no_opt(c, argv[i] + 2, len, e);
		}
		if (value == NULL && o->type == OPT_BOOL)
			value = "true";
		if (value == NULL && (value = argv[++i]) == NULL)
			return err_set(e, RC_PERM, "--%s: %s is missing",
			    o->name, o->about);
		if (give(c, o, value, e) == -1)
			return -1;
	}
	if (arg_bool(c, "help"))
		return 0;
	if (c->n_words == 0)
		return err_set(
		    e, RC_PERM, "which command?  See pipectl --help");
	if (c->command == NULL)
		return no_command(c->words, c->n_words, e);
	c->words += taken;
	c->n_words -= taken;
	return complete_check(c, e);
}

/* --- asking ---------------------------------------------------------------- */

const char *
arg_str(const struct ctl *c, const char *name)
{
	const struct opt *o = opt_any(c, name, strlen(name));
	size_t i = c->n_given;

	while (i-- > 0)
		if (strcmp(c->given[i].opt->name, name) == 0)
			return c->given[i].value;
	return o != NULL ? o->dflt : NULL;
}

bool
arg_given(const struct ctl *c, const char *name)
{
	size_t i;

	for (i = 0; i < c->n_given; i++)
		if (strcmp(c->given[i].opt->name, name) == 0)
			return true;
	return false;
}

bool
arg_bool(const struct ctl *c, const char *name)
{
	const char *v = arg_str(c, name);

	return v != NULL && strcmp(v, "true") == 0;
}

int64_t
arg_int(const struct ctl *c, const char *name)
{
	const char *v = arg_str(c, name);

	return v != NULL ? strtoll(v, NULL, 10) : 0;
}

int64_t
arg_ms(const struct ctl *c, const char *name)
{
	int64_t ms = 0;

	if (arg_str(c, name) != NULL)
		must(conf_duration(&ms, arg_str(c, name)) == 0);
	return ms;
}

const char **
arg_list(const struct ctl *c, const char *name, size_t *n)
{
	const char **v = arena_array(c->a, const char *, c->n_given + 1);
	size_t i;

	*n = 0;
	for (i = 0; i < c->n_given; i++)
		if (strcmp(c->given[i].opt->name, name) == 0)
			v[(*n)++] = c->given[i].value;
	return v;
}

struct pair *
arg_pairs(const struct ctl *c, const char *name, size_t *n)
{
	const char **v = arg_list(c, name, n);
	struct pair *p = arena_array(c->a, struct pair, *n + 1);
	size_t i, key;

	for (i = 0; i < *n; i++) {
		key = strcspn(v[i], "=:");
		p[i].key = arena_strndup(c->a, v[i], key);
		p[i].value = v[i] + key + 1;
	}
	return p;
}
