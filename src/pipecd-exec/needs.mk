NEEDS.pipecd-exec := libjournal libhash libbus libconf libsuper libsandbox
