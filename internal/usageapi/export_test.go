package usageapi

import (
	"context"

	"github.com/usage-operator/usage-operator/internal/fairqueue"
)

// Occupy takes memory of answers for a tenant.
func (a *API) Occupy(ctx context.Context, tenant string, bytes int64) (*fairqueue.Share, error) {
	return a.admission.memory.Acquire(ctx, tenant, bytes)
}
