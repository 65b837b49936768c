NEEDS.pipecd-ops := libstore libinsight libconf libsandbox libhash
