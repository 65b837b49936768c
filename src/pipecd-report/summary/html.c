#include <string.h>

#include "hash.h"
#include "summary.h"
#include "text.h"

/*
 * The page's only style.  Its hash stands in the page's policy, so that the
 * page is as good in a mail reader or behind a strict server as on disk.
 */
static const char css[] =
    ":root{color-scheme:light dark;--bg:#f7f8fa;--card:#fff;--fg:#1c2330;"
    "--dim:#667085;--line:#e3e6ec;--good:#2f9e62;--bad:#d64550;"
    "--idle:#98a2b3;--lead:#3b6fd4;--back:#b7791f}"
    "@media(prefers-color-scheme:dark){:root{--bg:#12161d;--card:#1a202a;"
    "--fg:#e6e9ef;--dim:#94a0b3;--line:#2b3340;--good:#43b97a;--bad:#ef6a72;"
    "--idle:#5d6879;--lead:#6f9cf0;--back:#d9a441}}"
    "*{box-sizing:border-box}"
    "body{margin:0 auto;padding:2rem 1rem;max-width:72rem;background:"
    "var(--bg);color:var(--fg);font:15px/1.5 system-ui,sans-serif}"
    "h1{font-size:1.5rem;margin:0}h2{font-size:1.05rem;margin:0 0 .5rem}"
    "p{margin:.2rem 0;color:var(--dim)}"
    ".cards{display:grid;gap:1rem;margin:1.5rem 0;grid-template-columns:"
    "repeat(auto-fit,minmax(13rem,1fr))}"
    ".charts{display:grid;gap:1rem;margin:1.5rem 0;grid-template-columns:"
    "repeat(auto-fit,minmax(min(100%,26rem),1fr))}"
    ".card{background:var(--card);border:1px solid var(--line);"
    "border-radius:10px;padding:1rem 1.2rem;min-width:0}"
    ".card b{display:block;font-size:1.9rem;line-height:1.2;font-weight:650}"
    ".wide{overflow-x:auto}"
    "svg{display:block;width:100%;height:auto}"
    "svg.spark{width:9rem;height:1.6rem}"
    "text{fill:var(--dim);font:11px system-ui,sans-serif}"
    ".end{text-anchor:end}.mid{text-anchor:middle}"
    ".grid{stroke:var(--line);stroke-width:1}"
    ".good{fill:var(--good)}.bad{fill:var(--bad)}.idle{fill:var(--idle)}"
    ".lead{fill:var(--lead)}.back{fill:var(--back)}"
    ".p90{stroke:var(--dim);stroke-width:2}"
    "table{border-collapse:collapse;width:100%;font-variant-numeric:"
    "tabular-nums}"
    "th,td{padding:.4rem .7rem;text-align:right;white-space:nowrap;"
    "border-bottom:1px solid var(--line)}"
    "th{color:var(--dim);font-weight:500;font-size:.85rem}"
    "th:first-child,td:first-child{text-align:left;white-space:normal;"
    "overflow-wrap:anywhere;min-width:8rem}"
    "tr:last-child td{border-bottom:0}tfoot td{font-weight:600}"
    "details{margin-top:1rem}summary{cursor:pointer;color:var(--dim)}";

enum {
	W = 480, /* a chart, in its own units */
	H = 170,
	LEFT = 44,
	BOTTOM = 22,
	TOP = 10,
};

static void
put_escaped(FILE *out, const char *s)
{
	for (; *s != '\0'; s++) {
		switch (*s) {
		case '<':
			fputs("&lt;", out);
			break;
		case '>':
			fputs("&gt;", out);
			break;
		case '&':
			fputs("&amp;", out);
			break;
		case '"':
			fputs("&quot;", out);
			break;
		case '\'':
			fputs("&#39;", out);
			break;
		default:
			fputc(*s, out);
		}
	}
}

static const char *
time_text(struct arena *a, int64_t s)
{
	if (s < 0)
		return "–";
	if (s >= 2 * 86400)
		return arena_printf(a, "%lldd %lldh", (long long)(s / 86400),
		    (long long)(s % 86400 / 3600));
	return text_took_s(a, s);
}

static const char *
rate_text(struct arena *a, const struct stats *s)
{
	double rate = stats_failure_rate(s);

	return rate < 0 ? "–" : arena_printf(a, "%.1f %%", rate * 100);
}

/* --- charts -------------------------------------------------------------- */

struct chart {
	FILE *out;
	struct arena *arena;
	const struct range *r;
	const struct series *x;
	double max; /* of the axis */
};

static double
chart_y(const struct chart *c, double v)
{
	return TOP + (H - TOP - BOTTOM) * (1 - v / c->max);
}

static void
chart_begin(struct chart *c, const char *title, double max, const char *label)
{
	size_t last = c->x->n - 1, at[] = { 0, last / 2, last }, i;
	static const char *const cls[] = { "", " class=\"mid\"",
		" class=\"end\"" };
	static const int pos[] = { LEFT, (LEFT + W) / 2, W };
	char day[11];

	c->max = max > 0 ? max : 1;
	fprintf(c->out,
	    "<section class=\"card\"><h2>%s</h2>\n"
	    "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"%s\">\n",
	    title, W, H, title);
	fprintf(c->out,
	    "<path class=\"grid\" d=\"M%d %dH%dM%d %dH%d\"/>\n"
	    "<text class=\"end\" x=\"%d\" y=\"%d\">%s</text>\n"
	    "<text class=\"end\" x=\"%d\" y=\"%d\">0</text>\n",
	    LEFT, TOP, W, LEFT, H - BOTTOM, W, LEFT - 6, TOP + 4,
	    max > 0 ? label : "", LEFT - 6, H - BOTTOM + 4);
	for (i = 0; i < 3; i++) {
		if (i > 0 && at[i] == at[i - 1])
			continue;
		range_day(day, c->r, at[i]);
		fprintf(c->out, "<text%s x=\"%d\" y=\"%d\">%s</text>\n", cls[i],
		    pos[i], H - 6, day);
	}
}

static void
chart_end(struct chart *c)
{
	fprintf(c->out, "</svg></section>\n");
}

/* One part of a bar, from v0 up to v1. */
static void
chart_bar(struct chart *c, size_t i, double v0, double v1, const char *cls)
{
	double slot = (double)(W - LEFT) / (double)c->x->n;
	double gap = slot > 6 ? slot * 0.2 : slot > 2 ? 0.5 : 0;

	if (v1 <= v0)
		return;
	fprintf(c->out,
	    "<rect class=\"%s\" x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" "
	    "height=\"%.2f\"/>",
	    cls, LEFT + slot * (double)i + gap / 2, chart_y(c, v1), slot - gap,
	    chart_y(c, v0) - chart_y(c, v1));
}

static void
chart_counts(struct chart *c)
{
	size_t i, max = 0;
	char day[11];

	for (i = 0; i < c->x->n; i++)
		if (c->x->bucket[i].deployments > max)
			max = c->x->bucket[i].deployments;
	chart_begin(
	    c, "Deployments", (double)max, arena_printf(c->arena, "%zu", max));
	for (i = 0; i < c->x->n; i++) {
		const struct stats *s = &c->x->bucket[i];
		double good = (double)s->success,
		       bad = good + (double)s->failure,
		       all = (double)s->deployments;

		if (s->deployments == 0)
			continue;
		range_day(day, c->r, i);
		fprintf(c->out,
		    "<g><title>%s: %zu SUCCESS, %zu FAILURE, %zu CANCELLED"
		    "</title>",
		    day, s->success, s->failure, s->cancelled);
		chart_bar(c, i, 0, good, "good");
		chart_bar(c, i, good, bad, "bad");
		chart_bar(c, i, bad, all, "idle");
		fprintf(c->out, "</g>\n");
	}
	chart_end(c);
}

static void
chart_rate(struct chart *c)
{
	double max = 0, rate;
	char day[11];
	size_t i;

	for (i = 0; i < c->x->n; i++)
		if ((rate = stats_failure_rate(&c->x->bucket[i])) > max)
			max = rate;
	chart_begin(c, "Change failure rate", max,
	    arena_printf(c->arena, "%.0f %%", max * 100));
	for (i = 0; i < c->x->n; i++) {
		const struct stats *s = &c->x->bucket[i];

		if ((rate = stats_failure_rate(s)) <= 0)
			continue;
		range_day(day, c->r, i);
		fprintf(c->out, "<g><title>%s: %s, %zu of %zu</title>", day,
		    rate_text(c->arena, s), s->bad, s->deployments);
		chart_bar(c, i, 0, rate, "bad");
		fprintf(c->out, "</g>\n");
	}
	chart_end(c);
}

/* Medians as bars, the p90 as a stroke above each. */
static void
chart_times(struct chart *c, const char *title, const char *cls, bool restore)
{
	double slot = (double)(W - LEFT) / (double)c->x->n;
	int64_t max = 0;
	char day[11];
	size_t i;

	for (i = 0; i < c->x->n; i++) {
		const struct stats *s = &c->x->bucket[i];
		int64_t p90 = nums_p90(restore ? &s->restore : &s->lead);

		max = p90 > max ? p90 : max;
	}
	chart_begin(c, title, (double)max, time_text(c->arena, max));
	for (i = 0; i < c->x->n; i++) {
		const struct stats *s = &c->x->bucket[i];
		const struct nums *v = restore ? &s->restore : &s->lead;

		if (v->n == 0)
			continue;
		range_day(day, c->r, i);
		fprintf(c->out,
		    "<g><title>%s: median %s, p90 %s of %zu</title>", day,
		    time_text(c->arena, nums_median(v)),
		    time_text(c->arena, nums_p90(v)), v->n);
		chart_bar(c, i, 0, (double)nums_median(v), cls);
		fprintf(c->out, "<path class=\"p90\" d=\"M%.2f %.2fh%.2f\"/>",
		    LEFT + slot * ((double)i + .1),
		    chart_y(c, (double)nums_p90(v)), slot * .8);
		fprintf(c->out, "</g>\n");
	}
	chart_end(c);
}

/* An application's deployments as one small drawing: two paths. */
static void
put_spark(FILE *out, const struct series *x)
{
	double slot = 120.0 / (double)x->n, h;
	size_t i, max = 1;
	int pass;

	for (i = 0; i < x->n; i++)
		if (x->bucket[i].deployments > max)
			max = x->bucket[i].deployments;
	fprintf(out, "<svg class=\"spark\" viewBox=\"0 0 120 20\" "
		     "preserveAspectRatio=\"none\">");
	for (pass = 0; pass < 2; pass++) {
		fprintf(out, "<path class=\"%s\" d=\"", pass ? "bad" : "good");
		for (i = 0; i < x->n; i++) {
			size_t n = pass ? x->bucket[i].failure
					: x->bucket[i].deployments;

			if (n == 0)
				continue;
			h = 20.0 * (double)n / (double)max;
			fprintf(out, "M%.1f 20v-%.1fh%.1fv%.1fz",
			    slot * ((double)i + .1), h, slot * .8, h);
		}
		fprintf(out, "\"/>");
	}
	fprintf(out, "</svg>");
}

/* --- the page ------------------------------------------------------------ */

static void
put_cells(FILE *out, struct arena *a, const struct stats *s)
{
	fprintf(out,
	    "<td>%zu</td><td>%zu</td><td>%zu</td><td>%zu</td><td>%s</td>"
	    "<td>%s</td><td>%s</td>",
	    s->deployments, s->failure, s->cancelled, s->rolled_back,
	    rate_text(a, s), time_text(a, nums_median(&s->lead)),
	    time_text(a, nums_median(&s->restore)));
}

static const char heads[] =
    "<th>Deployments</th><th>Failed</th><th>Cancelled</th><th>Rolled back</th>"
    "<th>Failure rate</th><th>Lead time</th><th>Time to restore</th>";

static void
put_apps(
    FILE *out, struct summary *s, struct arena *a, const struct series *total)
{
	struct series one;
	size_t i;

	fprintf(out,
	    "<section class=\"card wide\"><h2>Applications</h2>\n<table><thead>"
	    "<tr><th>Application</th>%s<th></th></tr></thead>\n<tbody>\n",
	    heads);
	series_init(&one, &s->range);
	for (i = 0; i < s->n_apps; i++) {
		series_reset(&one);
		series_add(&one, s, &s->apps[i]);
		series_sort(&one);
		fprintf(out, "<tr><td>");
		put_escaped(out, text_inert(a, s->apps[i].name, false));
		fprintf(out, "</td>");
		put_cells(out, a, &one.all);
		fprintf(out, "<td>");
		put_spark(out, &one);
		fprintf(out, "</td></tr>\n");
		arena_reset(a);
	}
	series_free(&one);
	fprintf(out, "</tbody>\n<tfoot><tr><td>Total</td>");
	put_cells(out, a, &total->all);
	fprintf(out, "<td></td></tr></tfoot></table></section>\n");
}

static void
put_buckets(FILE *out, const struct range *r, struct arena *a,
    const struct series *total)
{
	const char *what = r->step == 86400 ? "Day" : "Week of";
	char day[11];
	size_t i;

	fprintf(out,
	    "<details class=\"card wide\"><summary>All figures by %s</summary>"
	    "<table><thead><tr><th>%s</th>%s</tr></thead>\n<tbody>\n",
	    r->step == 86400 ? "day" : "week", what, heads);
	for (i = 0; i < total->n; i++) {
		range_day(day, r, i);
		fprintf(out, "<tr><td>%s</td>", day);
		put_cells(out, a, &total->bucket[i]);
		fprintf(out, "</tr>\n");
		arena_reset(a);
	}
	fprintf(out, "</tbody></table></details>\n");
}

static void
put_card(FILE *out, const char *title, const char *value, const char *more)
{
	fprintf(out,
	    "<section class=\"card\"><p>%s</p><b>%s</b><p>%s</p></section>\n",
	    title, value, more);
}

static void
put_cards(FILE *out, struct arena *a, const struct stats *t, int64_t seconds)
{
	fprintf(out, "<div class=\"cards\">\n");
	put_card(out, "Deployment frequency",
	    arena_printf(a, "%.2f", stats_per_day(t, seconds)),
	    arena_printf(a, "a day; %zu deployments", t->deployments));
	put_card(out, "Lead time for changes",
	    time_text(a, nums_median(&t->lead)),
	    arena_printf(a, "median of %zu; p90 %s", t->lead.n,
		time_text(a, nums_p90(&t->lead))));
	put_card(out, "Change failure rate", rate_text(a, t),
	    arena_printf(a, "%zu failed or rolled back", t->bad));
	put_card(out, "Time to restore", time_text(a, nums_median(&t->restore)),
	    arena_printf(a, "median of %zu; p90 %s; %zu still failed",
		t->restore.n, time_text(a, nums_p90(&t->restore)), t->open));
	fprintf(out, "</div>\n");
}

static void
put_head(FILE *out)
{
	struct buf sum = BUF_INIT;
	uint8_t raw[32];
	SHA2_CTX h;

	SHA256Init(&h);
	SHA256Update(&h, (const uint8_t *)css, sizeof(css) - 1);
	SHA256Final(raw, &h);
	base64_encode(&sum, raw, sizeof(raw));
	fprintf(out,
	    "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>"
	    "\n<meta http-equiv=\"Content-Security-Policy\" content=\""
	    "default-src 'none'; style-src 'sha256-%s'\"/>\n"
	    "<meta name=\"viewport\" content=\"width=device-width\"/>\n"
	    "<title>Deployments</title>\n<style>%s</style></head>\n<body>\n",
	    sum.p, css);
	buf_free(&sum);
}

void
write_html(FILE *out, struct summary *s, struct series *total)
{
	struct arena *a = arena_new();
	struct chart c = { .out = out, .arena = a, .r = &s->range, .x = total };
	char since[21], until[21];

	time_iso(since, s->range.since);
	time_iso(until, s->range.until);
	put_head(out);
	fprintf(out,
	    "<h1>Deployments</h1>\n<p>%s to %s, by %s</p>\n"
	    "<p>%zu journals, %zu damaged and left out, %zu not finished; %zu "
	    "deployments superseded before they began</p>\n",
	    since, until, s->range.step == 86400 ? "day" : "week", s->journals,
	    s->damaged, s->unfinished, total->all.superseded);
	put_cards(out, a, &total->all, s->range.until - s->range.since);
	fprintf(out, "<div class=\"charts\">\n");
	chart_counts(&c);
	chart_rate(&c);
	chart_times(&c, "Lead time, median and p90", "lead", false);
	chart_times(&c, "Time to restore, median and p90", "back", true);
	fprintf(out, "</div>\n");
	arena_reset(a);
	put_apps(out, s, a, total);
	put_buckets(out, &s->range, a, total);
	fprintf(out, "</body></html>\n");
	arena_free(a);
}
