/*
 * text.h - what strangers wrote (names, messages, logs), made fit for people's
 * eyes and their terminals.
 */
#ifndef PIPECD_TEXT_H
#define PIPECD_TEXT_H

#include "base.h"

/*
 * Make it harmless on a terminal: SGR colours are dropped, every other
 * control, escape, bidi override and invisible character becomes visible as
 * \x1b or \u202e, invalid UTF-8 becomes U+FFFD, a tab a blank.  Line ends stay
 * if `lines`; otherwise the first line is all that is kept.  NULL is "".
 */
char *text_inert(struct arena *a, const char *s, bool lines);
/* The first line of it, and no more than `max` bytes, whole characters. */
char *text_cut(struct arena *a, const char *s, size_t max);
/* "350ms", "1.2s", "2m05s", "1h02m". */
char *text_took(struct arena *a, int64_t ms);
/* Of whole seconds: "0s", "12s", "2m05s". */
char *text_took_s(struct arena *a, int64_t s);

#endif
