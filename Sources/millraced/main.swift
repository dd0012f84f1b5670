print("millraced")
