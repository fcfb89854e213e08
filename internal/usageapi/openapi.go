package usageapi

import (
	_ "embed"
	"net/http"
)

// Description is the OpenAPI 3.1 document of all requests and answers.
//
//go:embed openapi.json
var Description []byte

func serveDescription(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(Description) // who asked may have gone
}
