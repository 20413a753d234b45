"""accredit: customer qualifications, vetted."""

__version__ = "0.1.0"
