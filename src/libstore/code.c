/* Names of codes. */
#include "store.h"

#include "msg.h"

const char *
store_code(Store__Code c)
{
	return msg_enum_name(&store__code__descriptor, (int)c, MSG_API);
}
