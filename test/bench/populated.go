package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/config"
	"github.com/usage-operator/usage-operator/test/bench/cluster"
	"github.com/usage-operator/usage-operator/test/buildcache"
	"github.com/usage-operator/usage-operator/test/controlplane"
	"github.com/usage-operator/usage-operator/test/crds"
)

// operatorNamespace is the operator's own.
const operatorNamespace = "usage-system"

// meters are those that meter what is there.
var meters = []string{"vm", "container"}

// vmsAreOneIn: one object in five is a virtual machine. Of those, an API server has 200 KiB in memory each, and as much
// again for each change of the last minute: at its limit it does nothing but collect garbage.
const vmsAreOneIn = 5

// planeMemory is how much memory an API server may use before it collects garbage more often.
const planeMemory = "16GiB"

// plane is an API server and an etcd, with our kinds.
type plane struct {
	*settings
	*controlplane.ControlPlane
	etcd  *etcd
	admin client.Client
}

func newPlane(ctx context.Context, s *settings, sync bool) (_ *plane, err error) {
	ctrl.SetLogger(logr.Discard())
	defer s.tell.during("starting an API server and an etcd", nil)()
	// An API server keeps all objects in memory, and as much again as its garbage collector likes.
	if err := os.Setenv("GOMEMLIMIT", planeMemory); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.Unsetenv("GOMEMLIMIT")) }()
	cp, err := controlplane.Start(ctx, controlplane.Options{
		Components: controlplane.APIOnly(), Progress: os.Stderr, EtcdUnsafeNoFsync: !sync,
		ExtraArgs: map[string][]string{
			controlplane.Etcd: {"--quota-backend-bytes=8589934592"},
			// There is no controller that would make service accounts.
			controlplane.APIServer: {"--disable-admission-plugins=ServiceAccount"},
		},
	})
	if err != nil {
		return nil, err
	}
	p := &plane{settings: s, ControlPlane: cp}
	defer func() {
		if err != nil {
			err = errors.Join(err, cp.Stop())
		}
	}()
	if p.etcd, err = newEtcd(cp); err != nil {
		return nil, err
	}
	scheme := runtime.NewScheme()
	err = errors.Join(clientgoscheme.AddToScheme(scheme), apiextensionsv1.AddToScheme(scheme), v1alpha1.AddToScheme(scheme), metav1.AddMetaToScheme(scheme))
	if err != nil {
		return nil, err
	}
	if p.admin, err = client.New(p.config(), client.Options{Scheme: scheme}); err != nil {
		return nil, err
	}
	if err := installOwnKinds(ctx, p.admin); err != nil {
		return nil, err
	}
	return p, p.admin.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: operatorNamespace}})
}

// config is without a rate limit: the API server decides.
func (p *plane) config() *rest.Config {
	config := p.RESTConfig()
	config.QPS = -1
	return config
}

// installOwnKinds installs our CRDs, with all their validation.
func installOwnKinds(ctx context.Context, admin client.Client) error {
	checkout, err := buildcache.Checkout()
	if err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(checkout, "config", "crd", "bases", "*.yaml"))
	if err != nil {
		return err
	}
	for _, file := range files {
		definition := &apiextensionsv1.CustomResourceDefinition{}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if err := yaml.Unmarshal(text, definition); err != nil {
			return err
		}
		if err := admin.Create(ctx, definition); err != nil {
			return err
		}
	}
	return wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		records := admin.List(ctx, &v1alpha1.UsageRecordList{}, client.Limit(1))
		meters := admin.List(ctx, &v1alpha1.UsageMeterList{}, client.Limit(1))
		blocks := admin.List(ctx, &v1alpha1.UsageBlockList{}, client.Limit(1))
		return records == nil && meters == nil && blocks == nil, nil
	})
}

// populate puts so many virtual machines and pods, and what owns them, straight into etcd, and adds the meters for them.
func (p *plane) populate(ctx context.Context, instances, pods int) error {
	if err := crds.Install(ctx, p.config(), "virtualmachines.kubevirt.io", "virtualmachineinstances.kubevirt.io"); err != nil {
		return err
	}
	written := atomic.Int64{}
	total := cluster.Objects(instances, pods)
	defer p.tell.during("writing objects to etcd", func() string { return fmt.Sprintf("%d of %d", written.Load(), total) })()
	to := &putter{etcd: p.etcd, ctx: ctx}
	err := cluster.Stored(instances, pods, func(key string, value []byte) error {
		written.Add(1)
		return to.put(key, value)
	})
	if err == nil {
		err = to.flush()
	}
	if err != nil {
		return err
	}
	all, err := config.Meters()
	if err != nil {
		return err
	}
	for _, definition := range all {
		if !slices.Contains(meters, definition.GetName()) {
			continue
		}
		if err := p.admin.Create(ctx, definition); err != nil {
			return err
		}
	}
	return nil
}
