"""The pages, one module each: a stack and what was asked in, a :class:`~stackwright_console.page.Page` out."""
