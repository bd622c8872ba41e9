"""From a resolved condition to something that answers for an event.

Expr --lower--> Predicate (typed, see ir.py) --optimize--> Predicate --codegen--> Python source --build--> function
                                            \\--evaluate--> the slow, obvious answer that the function is held to
"""
