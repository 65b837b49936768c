NEEDS.pipecd-exec := libjournal libbus libconf libsuper libsandbox
