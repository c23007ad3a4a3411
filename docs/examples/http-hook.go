package main

import (
	"fmt"
	"net/http"
	"sync/atomic"
)

var state atomic.Value
var jobs atomic.Int64 // counted up and down by your code

func hook(answer http.ResponseWriter, request *http.Request) {
	if request.Method != "GET" {
		state.Store(map[string]string{"POST": "Prepared", "DELETE": "Idle"}[request.Method])
	}
	fmt.Fprintf(answer, `{"state": %q, "inflight": %d}`, state.Load(), jobs.Load())
}

func main() {
	state.Store("Idle")
	http.HandleFunc("/prestop", hook)
	http.ListenAndServe("0.0.0.0:8080", nil)
}
