package main

import (
	"context"
	"fmt"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

var (
	general = machine{pool: "general", instanceType: "m.large", capacityType: "on-demand", cores: 16, gibi: 64}
	burst   = machine{pool: "burst", instanceType: "c.medium", capacityType: "spot", cores: 8, gibi: 16}

	webPod   = requests{cpu: 500, memory: 256 * mebi}
	queuePod = requests{cpu: 250, memory: 512 * mebi}
)

// scene is one step of the script.
type scene struct {
	second int // since the first whole minute
	play   func(ctx context.Context) (event, error)
}

// prepare is what is there before the first interval begins.
func (c *cloud) prepare(ctx context.Context) error {
	for _, object := range []client.Object{
		namespaceNamed("shop"), namespaceNamed("lab"), fastClass(), volume("small", 10), volume("large", 20),
	} {
		if err := c.cluster.Create(ctx, object); err != nil {
			return err
		}
	}
	for _, pool := range []func(context.Context) (event, error){
		func(ctx context.Context) (event, error) { return c.addPool(ctx, general, "general-1", "general-2") },
		func(ctx context.Context) (event, error) { return c.addPool(ctx, burst, "burst-1") },
	} {
		e, err := pool(ctx)
		if err != nil {
			return err
		}
		c.tell(e)
	}
	return nil
}

// script is two minutes in the life of a small cloud. Moments lie within the intervals, away from the last seconds of
// each, which are the operator's to see everything before it seals.
func (c *cloud) script() []scene {
	const shop, lab = "shop", "lab"
	return []scene{
		{2, func(ctx context.Context) (event, error) { return c.deployWeb(ctx, shop) }},
		{4, func(ctx context.Context) (event, error) { return c.bound(ctx, shop, "web-data", "web") }},
		{6, func(ctx context.Context) (event, error) {
			at, err := c.create(ctx, "Service", loadBalancer(shop, "web", 80, 443))
			return event{at, shop, "Service web", "asks for a load balancer"}, err
		}},
		{8, func(ctx context.Context) (event, error) { return c.createVM(ctx, shop, "db") }},
		{11, func(ctx context.Context) (event, error) { return c.startVM(ctx, shop, "db", 2, 4*gibi) }},
		{13, func(ctx context.Context) (event, error) { return c.address(ctx, shop, "web", "web", "203.0.113.10") }},
		{16, func(ctx context.Context) (event, error) { return c.openGateway(ctx, shop) }},
		{19, func(ctx context.Context) (event, error) { return c.program(ctx, shop, "edge", "web", "203.0.113.20") }},
		{22, func(ctx context.Context) (event, error) { return c.createVM(ctx, lab, "sim") }},
		{24, func(ctx context.Context) (event, error) { return c.startVM(ctx, lab, "sim", 8, 16*gibi) }},
		{27, func(ctx context.Context) (event, error) { return c.deployQueue(ctx, lab) }},
		{28, func(ctx context.Context) (event, error) { return c.bound(ctx, lab, "data-queue-0", "queue") }},
		{34, func(ctx context.Context) (event, error) { return c.resizeVM(ctx, shop, "db", 4, 8*gibi) }},
		{40, func(ctx context.Context) (event, error) { return c.scale(ctx, shop, "web", 3, webPod) }},
		{45, func(ctx context.Context) (event, error) { return c.addNode(ctx, burst, "burst-2") }},
		{50, func(ctx context.Context) (event, error) { return c.expand(ctx, shop, "web-data", "web", 20*gibi) }},

		{65, func(ctx context.Context) (event, error) { return c.stopVM(ctx, shop, "db") }},
		{70, func(ctx context.Context) (event, error) { return c.removeNode(ctx, "burst-1") }},
		{75, func(ctx context.Context) (event, error) { return c.deleteVM(ctx, lab, "sim") }},
		{81, func(ctx context.Context) (event, error) { return c.startVM(ctx, shop, "db", 4, 8*gibi) }},
		{87, func(ctx context.Context) (event, error) { return c.removeGateway(ctx, shop, "edge") }},
		{93, func(ctx context.Context) (event, error) { return c.scale(ctx, shop, "web", 1, webPod) }},
	}
}

// encore is what happens in the interval after, which is still open when its records are shown.
func (c *cloud) encore() []scene {
	return []scene{
		{2, func(ctx context.Context) (event, error) { return c.resizeVM(ctx, "shop", "db", 2, 4*gibi) }},
		{4, func(ctx context.Context) (event, error) { return c.scale(ctx, "shop", "web", 2, webPod) }},
	}
}

func (c *cloud) deployWeb(ctx context.Context, namespace string) (event, error) {
	if err := c.cluster.Create(ctx, deployment(namespace, "web", 2, webPod.template("web", "web-data"))); err != nil {
		return event{}, err
	}
	if err := c.cluster.Create(ctx, claim(namespace, "web-data", 10)); err != nil {
		return event{}, err
	}
	at, err := c.settlePods(ctx, namespace, "web", 2, webPod)
	return event{at, namespace, "Deployment web", fmt.Sprintf("has 2 pods, each with %s", webPod)}, err
}

func (c *cloud) deployQueue(ctx context.Context, namespace string) (event, error) {
	if err := c.cluster.Create(ctx, statefulSet(namespace, "queue", 20, queuePod.template("queue", ""))); err != nil {
		return event{}, err
	}
	at, err := c.settlePods(ctx, namespace, "queue", 1, queuePod)
	return event{at, namespace, "StatefulSet queue", fmt.Sprintf("has 1 pod with %s", queuePod)}, err
}

func (c *cloud) openGateway(ctx context.Context, namespace string) (event, error) {
	if _, err := c.create(ctx, "HTTPRoute", route(namespace, "edge", "web", 80)); err != nil {
		return event{}, err
	}
	at, err := c.create(ctx, "Gateway", gateway(namespace, "edge"))
	return event{at, namespace, "Gateway edge", "asks for a load balancer of its own"}, err
}

// play plays the script from the next whole minute on, and returns that minute and the one after the last scene.
func (c *cloud) play(ctx context.Context) (first, beyond int64, err error) {
	// A second at least: the operator meters already, and the demo needs nothing but the time.
	first = nextMinute(time.Now().Add(time.Second))
	if err := c.await(ctx, first, "the next whole minute, when an interval begins"); err != nil {
		return 0, 0, err
	}
	c.say("")
	err = c.playAll(ctx, first, c.script())
	return first, nextMinute(time.Now()), err
}

// playAll plays each scene in its second, counted from a moment, or later on a slow machine, but never two in one
// second: an object that is written twice in a second tells of the second write only.
func (c *cloud) playAll(ctx context.Context, from int64, scenes []scene) error {
	for _, s := range scenes {
		if err := c.await(ctx, max(from+int64(s.second), time.Now().Unix()+1), ""); err != nil {
			return err
		}
		e, err := s.play(ctx)
		if err != nil {
			return fmt.Errorf("second %d of the script: %w", s.second, err)
		}
		c.tell(e)
	}
	return nil
}

func nextMinute(t time.Time) int64 { return t.Truncate(interval*time.Second).Unix() + interval }

// early is when in its second a scene begins: early, so that what happens is seen in the same second.
const early = 100 * time.Millisecond

// await waits for a moment, and says what for where that takes long.
func (c *cloud) await(ctx context.Context, moment int64, what string) error {
	until := time.Unix(moment, 0).Add(early)
	if what != "" && time.Until(until) > tellAfter {
		c.say("  ... waiting for %s: %s, in %d s", what, clock(moment), int(time.Until(until).Seconds()))
	}
	ticker := time.NewTicker(2 * tellEvery)
	defer ticker.Stop()
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", clock(moment), context.Cause(ctx))
		case <-ticker.C:
			if left := time.Until(until); what != "" && left > tellAfter {
				c.say("  ... %d s", int(left.Seconds()))
			}
		}
	}
}
