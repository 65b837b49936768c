NEEDS.libs3 := libhash -lcurl
