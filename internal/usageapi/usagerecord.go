package usageapi

import (
	"encoding/json"
)

// usageRecord is what a resource used.
type usageRecord struct {
	Dimensions   []usageDimension `json:"dimensions"`
	EndedAt      string           `json:"ended_at"`
	ProjectID    string           `json:"project_id"`
	Region       string           `json:"region"`
	ResourceID   string           `json:"resource_id"`
	ResourceType string           `json:"resource_type"`
	StartedAt    string           `json:"started_at"`
	Name         string           `json:"name"`
	Open         bool             `json:"open"`
}

// usageDimension is a segment of the ledger or, with children, the time that an
// instance was there under a bundle.
type usageDimension struct {
	usageSegment
	Children []usageSegment `json:"children,omitempty"`
}

// usageSegment is a segment of the ledger.
type usageSegment struct {
	ID        string       `json:"id"`
	Dimension string       `json:"dimension"`
	EndedAt   string       `json:"ended_at"`
	Quantity  *json.Number `json:"quantity"`
	StartedAt string       `json:"started_at"`

	Unit       string `json:"unit"`
	Exact      string `json:"exact"`
	ExactUnit  string `json:"exact_unit"`
	Accuracy   string `json:"accuracy"`
	Deployment string `json:"deployment"`
	Instance   string `json:"instance"`
	Container  string `json:"container,omitempty"`
	// Level is how much is held, in the dimension's unit.
	Level string `json:"level,omitempty"`
	// Open tells that it goes on: it ends for now where figures end.
	Open bool `json:"open"`
	// Correction tells what is taken off sealed hours ("less"), or added to them
	// ("more"), by what was learnt later.
	Correction string `json:"correction,omitempty"`
}

type pagination struct {
	NextCursor *string `json:"next_cursor"`
	Limit      int     `json:"limit"`
}
