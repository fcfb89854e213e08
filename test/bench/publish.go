package main

import "context"

func benchmarkPublish(context.Context, *settings) ([]Figure, error) { return nil, nil }
