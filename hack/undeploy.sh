#!/usr/bin/env bash
# Deletes what make deploy installed: undeploy.sh FOLDER [yes], with KUBECTL in the environment. FOLDER has what
# installer.sh wrote. With "yes", all data is deleted, too.
set -euo pipefail

out=$1
: "${KUBECTL:?a kubectl}"
# Ended first, the operator still has the rights to commit what it knows to the journal.
"$KUBECTL" delete deployment usage-operator --namespace usage-system --cascade=foreground --ignore-not-found
if [[ ${2:-} == yes ]]; then
	"$KUBECTL" delete --ignore-not-found -f "$out/install.yaml"
else
	"$KUBECTL" delete --ignore-not-found -f "$out/uninstall.yaml"
	echo "All meters, records and the journal are kept: make undeploy DELETE_DATA=yes deletes them."
fi
