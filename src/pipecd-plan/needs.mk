NEEDS.pipecd-plan := libbus libconf libgit libhash libsuper libsandbox -lpcre2-8
