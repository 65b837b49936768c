NEEDS.pipecd-plan := libbus libconf libgit libhash libsuper -lpcre2-8
