package v1alpha1

// NodeReference is the node that an object runs on. What is read of it changes when
// the node's labels do; what a node does not say at first counts from its creation.
type NodeReference struct {
	// name is a CEL expression for the node's name; "" or none: it runs on none. Read
	// only what the scheduler or a controller writes.
	//
	// +required
	Name Expression `json:"name"`

	// attributes are CEL expressions for facts of the node, by name. They are read on
	// the node, as self, of which its metadata is there. Together with the meter's
	// attributes, at most 8.
	//
	// +optional
	// +kubebuilder:validation:MaxProperties=8
	// +kubebuilder:validation:XValidation:rule="self.all(name, name.matches('^[a-z][A-Za-z0-9]{0,62}$'))",message="an attribute's name starts with a-z and has letters and digits only, at most 63"
	Attributes map[string]Expression `json:"attributes,omitempty"`
}

// OtherReference names another object, and says how that one vouches for this one: each
// has to name the other. What neither of them, or only one, says changes nothing.
type OtherReference struct {
	// target is the other object's kind. It need not be metered; the operator needs the
	// right to read it.
	//
	// +required
	Target RepresentativeKind `json:"target"`

	// namespace is a CEL expression for the other object's namespace; left out, it is
	// the object's own. It counts for nothing where the kind is cluster-scoped.
	//
	// +optional
	Namespace Expression `json:"namespace,omitempty"`

	// name is a CEL expression for the other object's name; "" or none: there is none.
	//
	// +required
	Name Expression `json:"name"`

	// vouchesFor is a CEL expression, read on the other object, as self: the list of
	// UIDs of the objects that it has facts of. Read only what a tenant
	// cannot write.
	//
	// +required
	VouchesFor Expression `json:"vouchesFor"`
}

// Representation is a relation to another metered object that an object can be a
// part of. The object names the other one, and the keys by which that one has to
// vouch for it. A key stands for one object: of several that show the same, the
// oldest is represented.
//
// +kubebuilder:validation:XValidation:rule="!has(self.goesBy) || !has(self.namespace) && !has(self.uid)",message="objects that goesBy names may be several, in any namespace: leave namespace and uid out"
type Representation struct {
	// target is the other object's kind.
	//
	// +required
	Target RepresentativeKind `json:"target"`

	// namespace is a CEL expression for the other object's namespace; left out, it
	// is the object's own.
	//
	// +optional
	Namespace Expression `json:"namespace,omitempty"`

	// name is a CEL expression for the other object's name; "" or none: the object
	// names none.
	//
	// +required
	Name Expression `json:"name"`

	// uid is a CEL expression for the other object's UID, where the object knows it:
	// it has to be that very object. Left out, whichever bears the name will do.
	//
	// +optional
	UID Expression `json:"uid,omitempty"`

	// keys is a CEL expression for what the other object has to vouch for: a list of
	// texts, all of them. With an empty list the object is not represented.
	//
	// +required
	Keys Expression `json:"keys"`

	// goesBy is a CEL expression, read on the other object, as self: a name that it goes
	// by, of which there may be others, in any namespace: its class. The name is then
	// compared with that, and not with its own. Each of those that go by it may vouch.
	//
	// +optional
	GoesBy Expression `json:"goesBy,omitempty"`

	// vouchesFor is a CEL expression, read on the other object, as self: the list of
	// keys that it vouches for. Read only what its controller writes, such as its status.
	//
	// +required
	VouchesFor Expression `json:"vouchesFor"`
}

// RepresentativeKind names a kind, in whichever version it is metered.
type RepresentativeKind struct {
	// group is the API group; "" or left out is the core group.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*)?$')",message="want an API group without a version, such as kubevirt.io; leave it out for the core group"
	Group string `json:"group,omitempty"`

	// kind is the kind's name, such as VirtualMachineInstance.
	//
	// +required
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Z][A-Za-z0-9]*$')",message="want a kind, such as VirtualMachineInstance: letters and digits, starting with a capital"
	Kind string `json:"kind"`
}

// TargetReference names a kind.
type TargetReference struct {
	// group is the API group; "" or left out is the core group.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*)?$')",message="want an API group without a version, such as kubevirt.io; leave it out for the core group"
	Group string `json:"group,omitempty"`

	// version is the API version; left out, the one that the API server prefers.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",message="want an API version without its group, such as v1beta1"
	Version string `json:"version,omitempty"`

	// kind is the kind's name, such as VirtualMachineInstance.
	//
	// +required
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Z][A-Za-z0-9]*$')",message="want a kind, such as VirtualMachineInstance: letters and digits, starting with a capital"
	Kind string `json:"kind"`
}

// ResourceReference says which resource is billed for an object: its workload,
// or what four CEL expressions name.
//
// +kubebuilder:validation:XValidation:rule="(has(self.workload) && self.workload) ? !(has(self.apiVersion) || has(self.kind) || has(self.name) || has(self.uid)) : (has(self.apiVersion) && has(self.kind) && has(self.name) && has(self.uid))",message="resource: set either workload: true, or all of apiVersion, kind, name and uid"
type ResourceReference struct {
	// workload bills the top of the object's controlling-owner chain: a pod's Deployment.
	//
	// +optional
	Workload bool `json:"workload,omitempty"`

	// apiVersion is a CEL expression for the billed resource's apiVersion.
	//
	// +optional
	APIVersion Expression `json:"apiVersion,omitempty"`

	// kind is a CEL expression for the billed resource's kind.
	//
	// +optional
	Kind Expression `json:"kind,omitempty"`

	// name is a CEL expression for the billed resource's name.
	//
	// +optional
	Name Expression `json:"name,omitempty"`

	// uid is a CEL expression for what identifies the billed resource for ever,
	// its UID as a rule. Where it gives "", the object itself is billed.
	//
	// +optional
	UID Expression `json:"uid,omitempty"`
}

// ForEach meters each member of a list that an object holds.
type ForEach struct {
	// in is a CEL expression that gives the list of members.
	//
	// +required
	In Expression `json:"in"`

	// as is the variable that a member is read as in the other expressions.
	//
	// +optional
	// +kubebuilder:default=item
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z][A-Za-z0-9]*$')",message="want the name of a variable: letters and digits, starting with a small letter, such as item"
	// +kubebuilder:validation:XValidation:rule="!(self in ['self', 'as', 'bool', 'break', 'bytes', 'const', 'continue', 'double', 'duration', 'dyn', 'else', 'false', 'for', 'function', 'if', 'import', 'in', 'int', 'let', 'list', 'loop', 'map', 'namespace', 'null', 'package', 'return', 'string', 'timestamp', 'true', 'type', 'uint', 'var', 'void', 'while'])",message="this is the object (self) or a word of CEL's own: choose another name, such as item"
	As string `json:"as,omitempty"`

	// key is a CEL expression that names a member, uniquely within the object:
	// item.name, of at most 253 characters. It is listed as the usage's container.
	//
	// +required
	Key Expression `json:"key"`

	// of is a CEL expression for what the dimensions are of, where members are
	// unlike things: item.resource. A dimension d of x is listed as d/x, and no
	// total adds up what differs in it. Left out, or where it gives "", members
	// are alike.
	//
	// +optional
	Of Expression `json:"of,omitempty"`
}

// Dimension is one thing that is measured.
//
// +kubebuilder:validation:XValidation:rule="has(self.quantity) != has(self.distinct)",message="a dimension has either a quantity, or distinct things"
// +kubebuilder:validation:XValidation:rule="!has(self.other) || has(self.quantity)",message="other takes the place of a quantity: set that too, for when there is no other object"
type Dimension struct {
	// name is the dimension's name: vcpu, memory, storage.
	//
	// +required
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z][a-z0-9_]*$')",message="want lower-case letters, digits and _, starting with a letter, such as storage_retained"
	Name string `json:"name"`

	// unit is what the quantity counts: core, byte, count, bit_per_second or a
	// name of your own. It cannot be changed. Cores, counts and units of your own
	// are kept to a thousandth, bytes and bits per second to a whole one.
	//
	// +required
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z][a-z0-9_]*$')",message="want core, byte, count, bit_per_second or a unit of your own: lower-case letters, digits and _, starting with a letter"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a dimension's unit cannot be changed: add a dimension of another name"
	Unit string `json:"unit"`

	// quantity is a CEL expression for how much is held, in the unit: an int, a
	// double, a quantity or a quantity's text. It may not be negative; 0 is nothing held.
	//
	// +optional
	Quantity Expression `json:"quantity,omitempty"`

	// other is a CEL expression, read on the object that spec.other names, as self: how
	// much is held, in the place of quantity. Where there is no such object, or it does
	// not vouch for this one, gives none, or cannot be read, it is the quantity.
	//
	// +optional
	Other Expression `json:"other,omitempty"`

	// distinct is a CEL expression for a list of texts that name things of which other
	// objects may have the same, such as addresses. They are counted in the place of a
	// quantity, each once: for the oldest object that has it, of all that are metered
	// under the resource type in this dimension. Of one object the first 256 count.
	//
	// +optional
	Distinct Expression `json:"distinct,omitempty"`
}
