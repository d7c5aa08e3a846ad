from hypothesis import settings

settings.register_profile("s2s", deadline=None)  # machines differ in speed
settings.load_profile("s2s")
