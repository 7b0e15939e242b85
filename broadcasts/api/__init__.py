"""The REST API of broadcasts, on the base of `deliveries/api/`: a view parses, calls one service and words the answer."""
