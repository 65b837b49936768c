/* figures.h - records of insight.proto on their way into chunks. */
#ifndef PIPECD_FIGURES_H
#define PIPECD_FIGURES_H

#include "insight.h"
#include "model/deployment.pb-c.h"
#include "ops.h"

struct figures {
	struct ops *o;
	const char *project;
	struct arena *arena;	  /* owned; of the records */
	Insight__Record **record; /* owned */
	size_t n, cap;
	int64_t added; /* that were not there before */
};
void figures_init(struct figures *f, struct ops *o, const char *project);
/* The record is in f->arena.  Many are written at once, when there are. */
int figures_add(struct figures *f, Insight__Record *r, struct err *e);
int figures_flush(struct figures *f, struct err *e);
void figures_free(struct figures *f);

/* A project's applications by kind, and by whether they are enabled. */
int applications_count(
    struct ops *o, const char *project, struct did *d, struct err *e);

#endif
