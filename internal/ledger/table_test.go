package ledger

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// What was put into a table is found until it is no more, however much comes and goes.
func TestATableFindsWhatIsThere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		there := map[place]uint64{}
		x := table{alive: func(at place) bool { _, is := there[at]; return is }}
		next := place(1)
		most := rapid.SampledFrom([]uint64{3, 1 << 60, math.MaxUint64}).Draw(t, "hashes")
		for range rapid.IntRange(0, 300).Draw(t, "steps") {
			hash := rapid.Uint64Range(0, most).Draw(t, "hash")
			if rapid.IntRange(0, 2).Draw(t, "goes") == 0 {
				for at, of := range there {
					if of <= hash {
						delete(there, at)
					}
				}
				continue
			}
			x.add(hash, next)
			there[next] = hash
			next++
		}
		for at, hash := range there {
			found := 0
			x.find(hash, func(p place) {
				if p == at {
					found++
				}
			})
			if found != 1 {
				t.Fatalf("%d of hash %x is found %d times", at, hash, found)
			}
		}
	})
}

// UIDs are kept as they are, whatever they look like.
func TestUUIDs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[0-9a-fA-F]{8}-[0-9a-f]{4}-[0-9a-f]{4}[-0][0-9a-g]{4}-[0-9a-f-]{12}`).Draw(t, "uid")
		var w encoding
		w.uid(text)
		if got := (&reader{bytes: w}).uid(); got != text {
			t.Fatalf("%q is read as %q", text, got)
		}
	})
}

// sameCut fails where the window is cut otherwise.
func sameCut(t *testing.T, plain, packs *pods, w usage.Window, now int64) {
	t.Helper()
	accounts := plain.Accounts(w, now)
	if !slices.Equal(accounts, packs.Accounts(w, now)) {
		t.Fatalf("at %d other accounts have something in %v", now, w)
	}
	same := func(a, b usage.Segment) bool { return *a.Subject == *b.Subject && a.Compare(b) == 0 }
	for _, account := range accounts {
		if !slices.EqualFunc(plain.Cut(account, w, now), packs.Cut(account, w, now), same) {
			t.Fatalf("at %d %v has something else in %v", now, account, w)
		}
	}
}

// Pods that come and go for hours, in many blocks, are what they are without packing: what is
// cut, what is learnt late, and what is forgotten.
func TestManyThatArePacked(t *testing.T) {
	plain, packs := newPods(1500), newPods(1500)
	const hours, kept = 6, 3
	for hour := range int64(hours) {
		w := usage.Window{Start: plain.began + hour*anHour, End: plain.began + (hour+1)*anHour}
		for _, p := range []*pods{plain, packs} {
			p.pass(w.End)
			p.Seal(w)
			for left := p == packs; left; {
				left = p.Pack(w.Start + anHour/2)
			}
			for n := p.ended % 7; n < p.ended; n += 997 { // some of them are packed
				moment := usage.Boundary{At: p.start(n) + 60, Evidence: usage.ManagedFields}
				if err := p.Reattribute(podUID(n), at(moment), func(_ *Meter, s *usage.Subject) { s.Deployment = "other" }); err != nil {
					t.Fatal(err)
				}
			}
			p.Forget(w.End - kept*anHour)
		}
		if a, b := inWords(plain.Unwritten()), inWords(packs.Unwritten()); !slices.Equal(a, b) {
			t.Fatalf("hour %d: packed, it says %v\nwant %v", hour, b, a)
		}
		for back := range hour + 1 {
			sameCut(t, plain, packs, usage.Window{Start: w.Start - back*anHour, End: w.End - back*anHour}, w.End)
		}
	}
	if n := packs.packed.objects; n < 1500*(kept-1) || len(packs.packed.blocks) < 6 {
		t.Errorf("%d objects are packed, in %d blocks", n, len(packs.packed.blocks))
	}
	for _, p := range []*pods{plain, packs} {
		p.Forget(p.began + 10*hours*anHour)
		if p.past.count+p.packed.objects+len(p.packed.blocks)+len(p.packed.spaces) > 0 {
			t.Errorf("something is not forgotten: %d objects, and %d packed ones", p.past.count, p.packed.objects)
		}
	}
}
