#include <sys/ioctl.h>

#include <langinfo.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

#include "report.h"

enum {
	DRAW_MS = 80,	/* no more often than this */
	TICK_MS = 1000, /* the clocks of what runs */
};

struct live {
	int fd;
	struct report *r;
	int cols, rows;
	bool colour, utf8, dirty;
	int64_t drawn_at;
	struct buf up;	  /* lines that stay, not yet written */
	struct buf out;	  /* one drawing, one write */
	size_t n_widths;  /* lines drawn last time, the cursor in the last */
	int *widths;	  /* owned: their columns */
	size_t n_running; /* at the last drawing */
};

/* --- a line in the making ------------------------------------------------ */

struct line {
	const struct live *l;
	struct buf *b;
	int used, max; /* columns */
};

static void
tone_on(struct line *ln, enum tone t)
{
	static const char *const sgr[] = {
		[TONE_GOOD] = "\033[32m",
		[TONE_BAD] = "\033[31m",
		[TONE_WARN] = "\033[33m",
		[TONE_DIM] = "\033[2m",
	};

	if (ln->l->colour && sgr[t] != NULL)
		buf_adds(ln->b, sgr[t]);
}

static void
tone_off(struct line *ln, enum tone t)
{
	if (ln->l->colour && t != TONE_PLAIN)
		buf_adds(ln->b, "\033[0m");
}

/* Add inert text, as far as it fits; what the terminal cannot show is "?". */
static void
put(struct line *ln, enum tone t, const char *s)
{
	mbstate_t st = { 0 };
	wchar_t w;
	size_t n;
	int cols;

	tone_on(ln, t);
	for (; *s != '\0'; s += n) {
		n = 1;
		cols = 1;
		if ((unsigned char)*s >= 0x80) {
			n = ln->l->utf8 ? mbrtowc(&w, s, strlen(s), &st) : 0;
			if (n == 0 || n >= (size_t)-2) {
				memset(&st, 0, sizeof(st));
				for (n = 1;
				     ((unsigned char)s[n] & 0xc0) == 0x80;)
					n++;
				w = L'\0';
			}
			if ((cols = wcwidth(w)) < 0 || w == L'\0')
				cols = -1;
		}
		if (ln->used + (cols < 0 ? 1 : cols) > ln->max)
			break;
		if (cols < 0)
			buf_addc(ln->b, '?');
		else
			buf_add(ln->b, s, n);
		ln->used += cols < 0 ? 1 : cols;
	}
	tone_off(ln, t);
}

/* The same in a column of its own. */
static void
put_column(struct line *ln, enum tone t, const char *s, int width)
{
	int end = ln->used + width, max = ln->max;

	if (end > max)
		end = max;
	ln->max = end;
	put(ln, t, s);
	ln->max = max;
	while (ln->used < end) {
		buf_addc(ln->b, ' ');
		ln->used++;
	}
	if (ln->used < max) {
		buf_addc(ln->b, ' ');
		ln->used++;
	}
}

/* --- what stays ---------------------------------------------------------- */

static void
up_line(struct live *l, enum tone tone, const char *app, const char *id,
    const char *text, size_t n)
{
	struct line ln = { .l = l, .b = &l->up, .max = 1 << 20 };
	char *s = arena_strndup(l->r->arena, text, n);

	if (app != NULL) {
		put(&ln, TONE_PLAIN, app);
		put(&ln, TONE_DIM, id);
	} else {
		put(&ln, TONE_PLAIN, "    ");
	}
	put(&ln, tone, s);
	buf_adds(&l->up, "\033[K\n");
}

void
live_say(struct live *l, enum say what, enum tone tone, const struct dep *d,
    const char *app, const char *text)
{
	const char *id = "", *nl;
	size_t i;

	l->dirty = true;
	if (what == SAY_LOG || (what == SAY_STEP && d != NULL))
		return;
	app = arena_printf(l->r->arena, "%s ", app);
	if (d != NULL)
		id = arena_printf(
		    l->r->arena, "%s ", text_cut(l->r->arena, d->id, 8));
	if (what == SAY_MORE)
		app = NULL;
	for (; text != NULL; text = nl == NULL ? NULL : nl + 1) {
		nl = strchr(text, '\n');
		up_line(l, app == NULL ? TONE_DIM : tone, app, id, text,
		    nl != NULL ? (size_t)(nl - text) : strlen(text));
		app = NULL;
	}
	if (what != SAY_END || d == NULL ||
	    d->status != MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_FAILURE)
		return;
	for (i = 0; i < d->n_tail; i++)
		up_line(
		    l, TONE_DIM, NULL, NULL, d->tail[i], strlen(d->tail[i]));
}

/* --- what is drawn again ------------------------------------------------- */

static const struct {
	const char *ascii, *utf8;
	enum tone tone;
} marks[] = {
	[MODEL__STAGE_STATUS__STAGE_NOT_STARTED_YET] = { ".", "·", TONE_DIM },
	[MODEL__STAGE_STATUS__STAGE_RUNNING] = { ">", "▶", TONE_WARN },
	[MODEL__STAGE_STATUS__STAGE_SUCCESS] = { "+", "✓", TONE_GOOD },
	[MODEL__STAGE_STATUS__STAGE_FAILURE] = { "x", "✗", TONE_BAD },
	[MODEL__STAGE_STATUS__STAGE_CANCELLED] = { "x", "✗", TONE_WARN },
	[MODEL__STAGE_STATUS__STAGE_SKIPPED] = { "-", "-", TONE_DIM },
	[MODEL__STAGE_STATUS__STAGE_EXITED] = { "+", "✓", TONE_GOOD },
};

static void
put_stages(struct line *ln, const struct dep *d)
{
	bool back =
	    d->status == MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_ROLLING_BACK;
	const char *now = NULL;
	size_t i;

	put(ln, TONE_DIM, "[");
	for (i = 0; i < d->n_stages; i++) {
		const struct stage *s = &d->stages[i];

		if (s->rollback && !back &&
		    s->status == MODEL__STAGE_STATUS__STAGE_NOT_STARTED_YET)
			continue;
		if ((size_t)s->status < NITEMS(marks))
			put(ln, marks[s->status].tone,
			    ln->l->utf8 ? marks[s->status].utf8
					: marks[s->status].ascii);
		if (s->status == MODEL__STAGE_STATUS__STAGE_RUNNING)
			now = s->name;
	}
	put(ln, TONE_DIM, "]");
	if (now != NULL) {
		put(ln, TONE_PLAIN, " ");
		put(ln, TONE_PLAIN, now);
	}
}

static bool
dep_waits(const struct dep *d)
{
	return d->status < MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_RUNNING;
}

static void
draw_dep(struct live *l, const struct dep *d, int app_cols)
{
	struct line ln = { .l = l, .b = &l->out, .max = l->cols - 1 };
	struct arena *a = l->r->arena;
	int64_t secs = (now_ms() - d->since_ms) / 1000;
	bool back =
	    d->status == MODEL__DEPLOYMENT_STATUS__DEPLOYMENT_ROLLING_BACK;

	put_column(&ln, TONE_PLAIN, d->app, app_cols);
	put_column(&ln, TONE_DIM, text_cut(a, d->id, 8), 8);
	put_column(&ln, back ? TONE_WARN : TONE_PLAIN, dep_status(d), 12);
	put_stages(&ln, d);
	put(&ln, TONE_DIM, " ");
	put(&ln, TONE_DIM, text_took_s(a, secs));
	if (d->n_tail > 0) {
		put(&ln, TONE_DIM, "  ");
		put(&ln, TONE_DIM, d->tail[d->n_tail - 1]);
	}
	l->widths[l->n_widths++] = ln.used;
	buf_adds(&l->out, "\033[K\n");
}

static void
draw_sum(struct live *l, size_t hidden)
{
	struct line ln = { .l = l, .b = &l->out, .max = l->cols - 1 };
	struct buf sum = BUF_INIT;

	report_sum(l->r, &sum);
	if (hidden > 0)
		buf_printf(&sum, " (%zu more not shown)", hidden);
	put(&ln, TONE_PLAIN, sum.p);
	l->widths[l->n_widths++] = ln.used;
	buf_free(&sum);
}

/* Back to where the last drawing began, as wide as the terminal is now. */
static void
draw_home(struct live *l)
{
	size_t i;
	int up = 0;

	for (i = 0; i < l->n_widths; i++)
		up += l->widths[i] > l->cols
			  ? (l->widths[i] + l->cols - 1) / l->cols
			  : 1;
	buf_addc(&l->out, '\r');
	if (up > 1)
		buf_printf(&l->out, "\033[%dA", up - 1);
	l->n_widths = 0;
}

static void
draw(struct live *l, bool last)
{
	size_t i, room = (size_t)l->rows - 2, shown = 0;
	const char *key;
	int app_cols = 4, pass;
	void *v;

	buf_reset(&l->out);
	draw_home(l);
	buf_add(&l->out, l->up.p, l->up.len);
	buf_reset(&l->up);
	l->n_running = 0;
	for (i = 0; map_next(l->r->deps, &i, &key, &v);) {
		const struct dep *d = v;

		if (!d->seen || dep_over(d))
			continue;
		l->n_running++;
		if ((int)strlen(d->app) > app_cols)
			app_cols = (int)strlen(d->app);
	}
	if (app_cols > l->cols / 4)
		app_cols = l->cols / 4;
	/* What runs before what waits. */
	for (pass = 0; pass < 2 && l->n_running > 0; pass++)
		for (i = 0;
		     shown < room && map_next(l->r->deps, &i, &key, &v);) {
			const struct dep *d = v;

			if (!d->seen || dep_over(d) ||
			    dep_waits(d) != (pass == 1))
				continue;
			draw_dep(l, d, app_cols);
			shown++;
		}
	if (!last)
		draw_sum(l, l->n_running - shown);
	buf_adds(&l->out, "\033[J");
	(void)write_all(l->fd, l->out.p, l->out.len);
	l->drawn_at = now_ms();
	l->dirty = false;
}

void
live_draw(struct live *l)
{
	arena_reset(l->r->arena);
	draw(l, false);
}

int
live_timeout(const struct live *l)
{
	int64_t due;

	if (!l->dirty && l->n_running == 0)
		return -1;
	due = l->drawn_at + (l->dirty ? DRAW_MS : TICK_MS) - now_ms();
	return due > 0 ? (int)due : 0;
}

void
live_resize(struct live *l)
{
	struct winsize ws;

	l->cols = 80;
	l->rows = 24;
	if (ioctl(l->fd, TIOCGWINSZ, &ws) == 0 && ws.ws_col > 0 &&
	    ws.ws_row > 0) {
		l->cols = ws.ws_col;
		l->rows = ws.ws_row;
	}
	/* Less than this is no place to draw; the terminal will wrap. */
	if (l->cols < 20)
		l->cols = 20;
	if (l->rows < 3)
		l->rows = 3;
	l->widths =
	    xrealloc(l->widths, ((size_t)l->rows + l->n_widths) * sizeof(int));
	l->dirty = true;
}

struct live *
live_open(int fd, struct report *r)
{
	struct live *l = xcalloc(1, sizeof(*l));
	const char *no = getenv("NO_COLOR");

	setlocale(LC_CTYPE, "");
	l->fd = fd;
	l->r = r;
	l->colour = no == NULL || *no == '\0';
	l->utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
	l->up = (struct buf)BUF_INIT;
	l->out = (struct buf)BUF_INIT;
	live_resize(l);
	return l;
}

void
live_close(struct live *l)
{
	draw(l, true);
	buf_free(&l->up);
	buf_free(&l->out);
	free(l->widths);
	free(l);
}
