NEEDS.pipecd-api := libgrpc libstore libinsight libconf libseal libhash libhook libsandbox
