/*
 * confdef.h - structs of what built-in platforms and stages are configured
 * with, made from the rows of platform.def.  conf_json_read fills them.
 */
#ifndef PIPECD_CONFDEF_H
#define PIPECD_CONFDEF_H

#include "conf.h"

#define CONF_STR(m, sub)      const char *m;
#define CONF_BOOL(m, sub)     bool m;
#define CONF_INT(m, sub)      int64_t m;
#define CONF_DURATION(m, sub) int64_t m;
#define CONF_PERCENT(m, sub)  int64_t m;
#define CONF_REPLICAS(m, sub) const char *m;
#define CONF_STRS(m, sub) \
	const char **m; \
	size_t n_##m;
#define CONF_PAIRS(m, sub) \
	struct conf_pair *m; \
	size_t n_##m;
#define CONF_OBJ(m, sub)	     struct conf_##sub m;
#define STRUCT(name, how, rule, doc) struct conf_##name {
#define ROW(object, type, key, member, sub, dflt, limit, flags, doc) \
	CONF_##type(member, sub)
#define CHECK(...)
#define END(name) \
	} \
	;
/* clang-format off */
#include "platform.def"
/* clang-format on */
#undef STRUCT
#undef ROW
#undef CHECK
#undef END

enum conf_struct {
	CONF_none,
#define STRUCT(name, how, rule, doc) CONF_##name,
#define ROW(...)
#define CHECK(...)
#define END(name)
#include "platform.def"
#undef STRUCT
#undef ROW
#undef CHECK
#undef END
	CONF__N
};

#endif
