"""CrewAI without telemetry, tracing or a network, with everything that it keeps in a directory of the test run."""

import os
import tempfile

from hypothesis import settings

# CrewAI reads these when it is imported.
os.environ["CREWAI_DISABLE_TELEMETRY"] = "true"
os.environ["CREWAI_TRACING_ENABLED"] = "false"
os.environ["OTEL_SDK_DISABLED"] = "true"
os.environ["CREWAI_STORAGE_DIR"] = tempfile.mkdtemp(prefix="mnemic-crewai-")

settings.register_profile("mnemic", database=None)
settings.load_profile("mnemic")
