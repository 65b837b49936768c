NEEDS.libgrpc := libmsg libloop -lnghttp2 -lssl -lcrypto -lz -lcares
