/*
 * tf.h - the parts of pipecd-exec-terraform.
 *
 * A stage works below <stateDir>/work/terraform/<deployment>, mode 0700:
 *
 *	src/	the checkout as symlinks, the application's directory real
 *	data/	TF_DATA_DIR: providers, modules, backend
 *	vars	values of `vars`, kept out of argv
 *	plan	the saved plan that TERRAFORM_PLAN showed
 *	applied	there once this deployment began to change anything
 */
#ifndef PIPECD_TF_H
#define PIPECD_TF_H

#include "confdef.h"
#include "hash.h"
#include "platform.h"

/* --- hcl.c: just enough of *.tf ---------------------------------------------
 */

struct hcl_module {
	const char *name, *source, *version;
};
struct hcl {
	struct hcl_module *modules;
	size_t n_modules;
	struct map
	    *structured;       /* variables that take an expression, not text */
	struct map *sensitive; /* variables whose values are secret */
	struct map *declared;  /* all variables */
	bool backend;	       /* a backend or cloud block is there */
};
/* Read the *.tf of a directory; what cannot be read is skipped. */
void hcl_scan(struct hcl *h, const char *dir, struct arena *a);
void hcl_scan_text(struct hcl *h, const char *s, size_t n, struct arena *a);
void hcl_free(struct hcl *h);

/* --- work.c ------------------------------------------------------ */

struct work {
	struct run *r;
	struct conf_terraform_app conf;
	struct conf_terraform_target target;
	const char *target_name; /* "" for none */
	const char *app_id, *app;
	const char *tool;      /* path of terraform or tofu */
	const char *tool_name; /* "terraform", "tofu" */
	const char *dir;       /* of the work, absolute */
	const char *cwd;       /* the application's directory in dir/src */
	const char *plan;      /* dir/plan */
	struct env env;
	struct hcl hcl;
};

/*
 * Find the tool, make the directory, mirror the checkout: root and below it
 * the application's directory.  `key` names the directory.
 */
int work_open(struct work *w, struct run *r, const char *key,
    const Frame__Json *conf, char *const *targets, size_t n_targets,
    const char *root, const char *dir, struct err *e);
void work_close(struct work *w);
/* Nothing of it is needed any more. */
void work_remove(struct work *w);
/* Whether dir/name is there. */
bool work_has(const struct work *w, const char *name);
/* Mark that this deployment begins to change things. */
int work_applied(struct work *w, struct err *e);
int tool_find(struct work *w, struct err *e);

/* --- tf.c: the commands ------------------------------------------ */

/* What a plan would do, from `show -json`. */
struct changes {
	int64_t add, change, destroy, import, replace;
	int64_t outputs;  /* that change */
	int64_t had;	  /* resources that are there now */
	char **destroyed; /* addresses */
	size_t n_destroyed;
	char hash[SHA256_HEX]; /* of all that would be done */
	bool none;
	const char *text; /* "1 to add, 0 to change, 2 to destroy" */
};

enum {
	TF_OK = 0,
	TF_CANCELLED = 1,
	TF_CHANGES = 2
};
/* Each: TF_..., or -1 with *e quoting what the tool said. */
int tf_init(struct work *w, struct err *e);
/*
 * Plan; `save`: into w->plan.  `lock` false: read only.  With `text` (may be
 * NULL) the output is kept there and not logged.
 */
int tf_plan(
    struct work *w, bool save, bool lock, struct buf *text, struct err *e);
int tf_changes(struct work *w, struct changes *c, struct err *e);
/* Apply the saved plan.  *stale: it was refused because the state moved on. */
int tf_apply(struct work *w, bool *stale, struct err *e);
/* Addresses and types in the state, as resources. */
int tf_resources(
    struct work *w, Model__ResourceState ***v, size_t *n, struct err *e);

int tf_stage(struct run *r, struct err *e);
int tf_live(struct run *r, struct err *e);
int tf_preview(struct run *r, struct err *e);
int tf_vote(struct run *r, struct err *e);

#endif
