# Makes the work pool and the deployment, or brings them up to date. Safe to repeat.
set -eu
cd /tmp
until python -c 'import os, urllib.request as u; u.urlopen(os.environ["PREFECT_API_URL"] + "/health", timeout=5)' 2>/dev/null; do
  echo "waiting for $PREFECT_API_URL"
  sleep 2
done
prefect --no-prompt work-pool create modelyard --type kubernetes --overwrite \
  --base-job-template /etc/modelyard/base-job-template.json
prefect --no-prompt deploy --all --prefect-file /etc/modelyard/prefect.yaml
