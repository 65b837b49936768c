/*
 * Any bytes as a sealed value, and as a key.  needs: libseal
 */
#include <stdlib.h>
#include <string.h>

#include "seal.h"

/* A key for this test alone; it opens nothing. */
static const char pem[] =
    "-----BEGIN PRIVATE KEY-----\n"
    "MIIEvgIBADANBgkqhkiG9w0BAQEFAASCBKgwggSkAgEAAoIBAQDQ8sbK+9dVthKQ\n"
    "5j2TXxQqg60Y7FPwfXlTLjBoPRc9wQVKlpv2DpZjXUkxhma+8FlWIdjdRhJmLVPt\n"
    "NW5Usdz7cX4qPw7CkVAXfFzhjtENPILdUYwqGB/vmTdd2sfHg2uiEI/XYjHUJEpb\n"
    "JwROzAg6q4u94z5UV8B4KpXA2MR4h+ofN+0bTwsBpXp5bewjiCeL0Id5Abc7S9cZ\n"
    "3ROptWy/m883zxFfNryuEbSJ3k5cj+x4SQ72q2ThiTx7qCfxR7n4SQD6SkUvedNF\n"
    "WFo/3A28ojVSH0e0yzHzvuKh8ZHidBdOz0bUmjlJ3TFu3Svwyh+YKEBI6gRAcwnq\n"
    "6QbyldmpAgMBAAECggEALzFGOP5cil1PIC8AZVKqKVgINoLaCo0sY98gy8pQf4Aj\n"
    "A8+0dgShbtvY9jiW6DU82DlY09FJwo4mUIMq4jIx6RCfIEeRu9w6LLPH/qHVEZpD\n"
    "LF2IvNEqFWGTob0SNju2iaoX8tuYyYNQz/ml/W4TxbyNGVxD7aTMMdfcbuwGo/oV\n"
    "xWwRtWbujz3iDShPs5awFPLDg1VaV2puCh4Pjf+clyZwAOGQMx+OGoikJQc/X0Rz\n"
    "/abOc8e6NQETy2hI/liVtY5tgVyD1MA0OVBAHjHFeRp8/hroubfJnV1yoRL3MuJI\n"
    "Ckcw62Fm0z/RcG3euUWH/LnYEbpVzXhABJ39iypW6QKBgQD8YuIu5Nk08WhC586p\n"
    "z7ZHO3YXf5Ewv/7IHUnSQnMZPiOuv6PLdoWf+Jq+wlOhPlVAljoB1i0xrKdRCZhA\n"
    "gSU5GuHfvTnkpMiiZSwurgpv3cYMS8PkNEu4kRAZgnixMscUc6+sKbR+yY7JG/XC\n"
    "mJLR6Hx4zmIXB8dmkJapfXqKfwKBgQDT8KwYMLURNY3S5OiKT478KkFRMArEdBfM\n"
    "qxRipKutSbojmCM6wlX7J7PKwVxRnmwl2GT4iSixp5hVSEawA5lRnNIzrbkWDDsV\n"
    "hf0Isf1GYKRdc/CGq0bcrFdF8u1oCgiftij97kXii4lwy0nwMOIEfU+eL4h0IBxX\n"
    "RktFd3X31wKBgQDzvJ9IwFOP0I9rBajMz77t/dunB9h0pwZrxfUz7F5xg1Q8f/C0\n"
    "HosfmZwAG3VeY+87B5mPioJs1ZtkJIr3yIDlLDP0ui69w/HK+z/2+Lc1n4yS9VyB\n"
    "94sk/Fr698iNAEfIVYzTDBe21fph9/GYc3Ze51HF7TJHoYiNYZdOqdJ9CwKBgQCq\n"
    "oVo8Q4KTb1VWVBrvt6u7Ut2xWodgsMK0cYwA+uiIpBHrNEIwvWLxyH4Un+YOhAg3\n"
    "0+c+vVZ46SBYkM7wSIV4UlRdbODVYlVzN6OHC52Iuqe54WzlTyHG6i19UF5YY7Ob\n"
    "udF41wuGn6awm8pUSVa+HJEsHsKyE2Qd06coL0xXkwKBgDCvE5H6ygw1whinmeDI\n"
    "FEESMxqAkIsHgaFCTPCut8yGrg+XFxNjfuuOgslFsI0T0dWIPVzJ3wroQjNHoqAW\n"
    "6A86acW4/4A95WYBFn/LHER5Itst+wLpALmrfV6aiAY7jOtjxm6WywWvhlKo4gIj\n"
    "0wydyjRZdaSdmlo33GuEMdnQ\n"
    "-----END PRIVATE KEY-----\n";

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static struct seal_key *k;
	struct secret s = { 0 };
	struct buf b64 = BUF_INIT;
	struct err e;

	if (k == NULL)
		k = seal_private(pem, sizeof(pem) - 1, &e);
	if (n > 8192)
		return 0;
	if (n > 10 && p[0] == '-') {
		seal_key_free(seal_public((const char *)p, n, &e));
		seal_key_free(seal_private((const char *)p, n, &e));
		return 0;
	}
	/* As base64 as it is, and as what base64 would hold. */
	(void)seal_open(&s, k, (const char *)p, n, &e);
	secret_free(&s);
	base64_encode(&b64, p, n);
	(void)seal_open(&s, k, b64.p, b64.len, &e);
	secret_free(&s);
	buf_free(&b64);
	return 0;
}
