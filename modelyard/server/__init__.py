"""The one server of an installation: intake, controllers, recorder, API and event stream."""
