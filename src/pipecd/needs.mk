NEEDS.pipecd := libsuper
