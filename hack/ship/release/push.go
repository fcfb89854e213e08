package release

import (
	"context"
	"fmt"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Push pushes the image and the chart, with what is attached to them, into the release's registry, and returns what was
// pushed, by digest. The logins are those of docker's configuration.
func Push(ctx context.Context, o Options, options ...name.Option) (pushed []string, err error) {
	for _, c := range []struct{ folder, repository string }{
		{imageLayout, o.imageRepository()}, {chartLayout, o.chartRepository()},
	} {
		all, err := o.readLayout(c.folder)
		if err != nil {
			return nil, err
		}
		for _, found := range all {
			if err := push(ctx, c.repository+":"+found.tag, found, options); err != nil {
				return nil, err
			}
		}
		pushed = append(pushed, c.repository+"@"+all[0].descriptor.Digest.String())
	}
	return pushed, nil
}

func push(ctx context.Context, to string, what held, options []name.Option) error {
	reference, err := name.ParseReference(to, options...)
	if err != nil {
		return err
	}
	access := []remote.Option{remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain)}
	if what.index != nil {
		err = remote.WriteIndex(reference, what.index, access...)
	} else {
		err = remote.Write(reference, what.image, access...)
	}
	if err != nil {
		return fmt.Errorf("push %s: %w", to, err)
	}
	return nil
}
