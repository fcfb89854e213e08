package meter

const (
	claim1    = "shop/ volume; v1 PersistentVolumeClaim data claim-1"
	volume1   = "volume; v1 PersistentVolume pv-1 volume-1"
	snapshot1 = "shop/ snapshot; snapshot.storage.k8s.io/v1 VolumeSnapshot nightly snapshot-1"
)

var storageLifecycles = []lifecycle{
	{
		meter:  "volume",
		object: boundClaim,
		stages: []stage{
			{name: "created", patch: `status: {phase: Pending, capacity: null}`, want: []string{claim1}},
			{name: "bound", patch: `status: {phase: Bound, capacity: {storage: 10Gi}}`,
				want: []string{claim1 + "; [storageClass:fast volumeMode:Filesystem]; holds storage=10737418240"}},
			{name: "expanded", patch: `status: {capacity: {storage: 20G}}`,
				want: []string{claim1 + "; [storageClass:fast volumeMode:Filesystem]; holds storage=20000000000"}},
			{name: "lost", patch: `status: {phase: Lost}`, want: []string{claim1}},
			{name: "another claim owns it: it is metered", patch: `
metadata: {name: prime-mine, ownerReferences: [{apiVersion: v1, kind: PersistentVolumeClaim, name: data, uid: claim-0, controller: true}]}
status: {phase: Bound}
`, want: []string{"shop/ volume; v1 PersistentVolumeClaim prime-mine claim-1; [storageClass:fast volumeMode:Filesystem]; holds storage=20000000000"}},
			{name: "the importer's claim is metered until the wanted claim has the volume: see TestClaims", patch: `metadata: {name: prime-claim-0}`,
				want: []string{"shop/ volume; v1 PersistentVolumeClaim prime-claim-0 claim-1; [storageClass:fast volumeMode:Filesystem]; holds storage=20000000000"}},
		},
	},
	{
		meter: "volume-retained",
		object: `
apiVersion: v1
kind: PersistentVolume
metadata: {name: pv-1, uid: volume-1, creationTimestamp: "2026-11-21T20:00:00Z"}
spec:
  capacity: {storage: 10Gi}
  storageClassName: fast
  volumeMode: Block
  persistentVolumeReclaimPolicy: Retain
`,
		stages: []stage{
			{name: "available", patch: `status: {phase: Available, lastPhaseTransitionTime: "2026-11-21T20:00:00Z"}`, want: []string{"/ " + volume1}},
			{name: "bound: its claim is metered", patch: `
spec: {claimRef: {namespace: shop, name: data, uid: claim-1}}
status: {phase: Bound, lastPhaseTransitionTime: "2026-11-21T20:00:10Z"}
`, want: []string{"shop/ " + volume1}},
			{name: "released", patch: `status: {phase: Released, lastPhaseTransitionTime: "2026-11-21T20:37:30Z"}`,
				want: []string{"shop/ " + volume1 + "; [claim:data storageClass:fast volumeMode:Block]; holds storage_retained=10737418240; from 20:37:30 ObjectTime"}},
			{name: "to be deleted", patch: `spec: {persistentVolumeReclaimPolicy: Delete}`,
				want: []string{"shop/ " + volume1 + "; [claim:data storageClass:fast volumeMode:Block]; holds storage_retained=10737418240; from 20:37:30 ObjectTime"}},
		},
	},
	{
		meter: "snapshot",
		object: `
apiVersion: snapshot.storage.k8s.io/v1
kind: VolumeSnapshot
metadata: {name: nightly, namespace: shop, uid: snapshot-1, creationTimestamp: "2026-11-21T20:00:00Z"}
spec: {volumeSnapshotClassName: standard, source: {persistentVolumeClaimName: data}}
`,
		stages: []stage{
			{name: "created", want: []string{snapshot1}},
			{name: "taken, not yet ready", patch: `status: {readyToUse: false, creationTime: "2026-11-21T20:00:07Z"}`, want: []string{snapshot1}},
			{name: "ready", patch: `status: {readyToUse: true, restoreSize: 10Gi}`,
				want: []string{snapshot1 + "; [snapshotClass:standard]; holds snapshot_storage=10737418240; from 20:00:07 ObjectTime"}},
			{name: "of unknown size, by a clock that goes behind", patch: `status: {restoreSize: null, creationTime: "2026-11-21T19:59:00Z"}`,
				want: []string{snapshot1 + "; [snapshotClass:standard]; holds snapshot_storage=0; from 20:00:00 CreationTime"}},
		},
	},
}
