NEEDS.pipecd-store := libtable libstore libloop libconf libhash
